"""XNNPACK nodes that the runtime defines and ExecuTorch's exporter does not write; importing this teaches the exporter.

- Conversions between float32 and float16 (`XNNConvert`, `xnn_define_convert`): the cache can lie in half precision, and
  what a delegate reads of it is widened there and not by the slow kernel outside.
- Slices of tensors with a dynamic extent (`XNNStaticSlice`, `xnn_define_static_slice`): a size of 0 is all of it, so
  the extents that are not cut need not be known.
"""

from typing import cast

import torch
from executorch.backends.xnnpack.operators import node_visitor
from executorch.backends.xnnpack.partition.config.generic_node_configs import GenericNodePartitionerConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNConvert, XNNGraph, XNNStaticSlice, XNode
from torch.export import ExportedProgram
from torch.fx import Node

_HALF_AND_SINGLE = {torch.float16, torch.float32}


class _FloatConfig(GenericNodePartitionerConfig):  # type: ignore[misc]
    def supported_precision_types(self) -> list[ConfigPrecisionType]:
        return [ConfigPrecisionType.FP32]


class ConvertConfig(_FloatConfig):
    """What the partitioner may take: conversions between float32 and float16, and no others."""

    target_name = "_to_copy.default"

    def check_constraints(self, node: Node, ep: ExportedProgram) -> bool:
        return _converts(node)


class SliceConfig(_FloatConfig):
    """Slices along an extent that is known, by steps of one."""

    target_name = "slice_copy.Tensor"

    def check_constraints(self, node: Node, ep: ExportedProgram) -> bool:
        source = node.all_input_nodes[0].meta["val"]
        return len(node.args) == 4 and source.dtype == torch.float32 and isinstance(source.shape[node.args[1]], int)


ADDED = (ConvertConfig, SliceConfig)
REPLACED = ("SliceCopyConfig",)
"""the exporter's configurations in whose place one of ours stands"""


def _converts(node: Node) -> bool:
    """Whether the node makes float32 of float16 or the other way round."""
    return {node.all_input_nodes[0].meta["val"].dtype, node.meta["val"].dtype} == _HALF_AND_SINGLE


class _Visitor(node_visitor.NodeVisitor):  # type: ignore[misc]
    """Writes a node of one input and one output."""

    def define_node(self, node: Node, xnn_graph: XNNGraph, vals_to_ids: dict[Node, int], debug_handle: int) -> None:
        (source,) = (each for each in node.all_input_nodes if isinstance(each.meta["val"], torch.Tensor))
        for each in (source, node):
            self.define_tensor(each, xnn_graph, vals_to_ids)
        union = self.union(node, vals_to_ids[source], vals_to_ids[node])
        xnn_graph.xnodes.append(XNode(xnode_union=union, debug_handle=debug_handle))

    def union(self, node: Node, input_id: int, output_id: int) -> object:
        """The node as XNNPACK's schema has it."""
        raise NotImplementedError


class ConvertVisitor(_Visitor):
    """In the place of the exporter's own, which knows changes of the memory's order: our graphs have none."""

    target = "aten._to_copy.default"

    def union(self, node: Node, input_id: int, output_id: int) -> XNNConvert:
        return XNNConvert(input_id=input_id, output_id=output_id, flags=0)


class SliceVisitor(_Visitor):
    """In the place of the exporter's own, which wants every extent known."""

    target = "aten.slice_copy.Tensor"

    def union(self, node: Node, input_id: int, output_id: int) -> XNNStaticSlice:
        shape, (axis, start) = node.meta["val"].shape, cast("tuple[int, int]", node.args[1:3])
        offsets, sizes = [0] * len(shape), [0] * len(shape)
        offsets[axis], sizes[axis] = start, int(shape[axis])
        return XNNStaticSlice(len(shape), offsets, sizes, input_id=input_id, output_id=output_id, flags=0)


for _visitor in (ConvertVisitor, SliceVisitor):
    node_visitor.register_node_visitor(_visitor)
