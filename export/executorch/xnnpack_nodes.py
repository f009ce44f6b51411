"""XNNPACK nodes that the runtime defines and ExecuTorch's exporter does not write; importing this teaches the exporter.

- Conversions between float32 and float16 (`XNNConvert`, `xnn_define_convert`): the cache can lie in half precision, and
  what a delegate reads of it is widened there and not by the slow kernel outside.
- Slices of tensors with a dynamic extent (`XNNStaticSlice`, `xnn_define_static_slice`): a size of 0 is all of it, so
  the extents that are not cut need not be known.
- Products with a second factor whose rows are its columns (`xnn_define_batch_matrix_multiply` with
  `XNN_FLAG_TRANSPOSE_B`): keys are multiplied as they lie.
"""

from typing import Any, cast

import torch
from executorch.backends.xnnpack.operators import node_visitor
from executorch.backends.xnnpack.partition.config.generic_node_configs import GenericNodePartitionerConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
    XNNBatchMatrixMultiply,
    XNNConvert,
    XNNGraph,
    XNNStaticSlice,
    XNNStaticTranspose,
    XNode,
)
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
    """Writes a node whose inputs are all the tensors that it reads."""

    def define_node(self, node: Node, xnn_graph: XNNGraph, vals_to_ids: dict[Node, int], debug_handle: int) -> None:
        sources = [each for each in self.sources(node) if isinstance(each.meta["val"], torch.Tensor)]
        for each in (*sources, node):
            self.define_tensor(each, xnn_graph, vals_to_ids)
        union = self.union(node, [vals_to_ids[each] for each in sources], vals_to_ids[node])
        xnn_graph.xnodes.append(XNode(xnode_union=union, debug_handle=debug_handle))

    def sources(self, node: Node) -> list[Node]:
        """The nodes that it reads."""
        return node.all_input_nodes

    def union(self, node: Node, input_ids: list[int], output_id: int) -> object:
        """The node as XNNPACK's schema has it."""
        raise NotImplementedError


class ConvertVisitor(_Visitor):
    """In the place of the exporter's own, which knows changes of the memory's order: our graphs have none."""

    target = "aten._to_copy.default"

    def union(self, node: Node, input_ids: list[int], output_id: int) -> XNNConvert:
        (source,) = input_ids
        return XNNConvert(input_id=source, output_id=output_id, flags=0)


class SliceVisitor(_Visitor):
    """In the place of the exporter's own, which wants every extent known."""

    target = "aten.slice_copy.Tensor"

    def union(self, node: Node, input_ids: list[int], output_id: int) -> XNNStaticSlice:
        (source,) = input_ids
        shape, (axis, start) = node.meta["val"].shape, cast("tuple[int, int]", node.args[1:3])
        offsets, sizes = [0] * len(shape), [0] * len(shape)
        offsets[axis], sizes[axis] = start, int(shape[axis])
        return XNNStaticSlice(len(shape), offsets, sizes, input_id=source, output_id=output_id, flags=0)


_TRANSPOSE_B = 1
"""XNN_FLAG_TRANSPOSE_B of xnnpack.h"""


class ProductVisitor(_Visitor):
    """In the place of the exporter's own, which knows no transposed second factor."""

    target = "aten.bmm.default"

    def sources(self, node: Node) -> list[Node]:
        first, second = cast("tuple[Node, Node]", node.args)
        return [first, second.all_input_nodes[0] if _turns_a_factor(second) else second]

    def union(self, node: Node, input_ids: list[int], output_id: int) -> XNNBatchMatrixMultiply:
        flags = _TRANSPOSE_B if _turns_a_factor(cast("Node", node.args[1])) else 0
        return XNNBatchMatrixMultiply(*input_ids, output_id, flags)


class TransposeVisitor(_Visitor):
    """In the place of the exporter's own, which would write what a product reads as it lies."""

    target = "aten.permute_copy.default"

    def define_node(self, node: Node, *rest: Any) -> None:
        if not _turns_a_factor(node):
            super().define_node(node, *rest)

    def union(self, node: Node, input_ids: list[int], output_id: int) -> XNNStaticTranspose:
        (source,) = input_ids
        order = cast("list[int]", node.args[1])
        return XNNStaticTranspose(input_id=source, num_dims=len(order), perm=order, output_id=output_id, flags=0)


def _turns_a_factor(node: Node) -> bool:
    """Whether the node exchanges rows and columns of what is the second factor of products and nothing else."""
    return (
        node.op == "call_function"
        and "permute_copy" in str(node.target)
        and node.args[1] == [0, 2, 1]
        and all("bmm" in str(user.target) and user.args[0] is not node for user in node.users)
    )


for _visitor in (ConvertVisitor, SliceVisitor, ProductVisitor, TransposeVisitor):
    node_visitor.register_node_visitor(_visitor)
