"""Which operators go to XNNPACK, and in how many delegates: one between two visits to the key-value cache."""

from typing import Any

import torch
from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.xnnpack_config import XNNPartitionerConfig
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend
from executorch.exir.backend.backend_details import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.passes.infra.partitioner import Partition

from smolship.export.executorch.xnnpack_nodes import ADDED, REPLACED

ANGLES = ("aten.cos.default", "aten.sin.default")
ON_CPU = ("CosConfig", "SinConfig")
"""the rotary angles reach thousands of radians, where libm is exact and XNNPACK's approximation is not"""


def _with_unknown_lengths(config: type[XNNPartitionerConfig]) -> type[XNNPartitionerConfig]:
    """`config` without its refusal of extents that come from `start_pos`: it fears empty tensors; ours never are."""

    def check(_config: Any, node: Node, valid: set[torch.dtype]) -> bool:
        values = (source.meta.get("val") for source in node.all_input_nodes)
        return all(value.dtype in valid for value in values if isinstance(value, torch.Tensor))

    return type(config.__name__, (config,), {"_check_inputs_are_valid_dtypes": check})


class CacheSeparatedPartitioner(XnnpackPartitioner):  # type: ignore[misc]
    """XNNPACK's own idea of what can be delegated, grouped by depth: how often a value has been outside of XNNPACK.

    Values of one depth cannot depend on each other through the outside, so each depth is one delegate; the stock
    grouping makes three times as many.
    """

    def __init__(self) -> None:
        stock = [c for c in ALL_PARTITIONER_CONFIGS if c.__name__ not in (*ON_CPU, *REPLACED)]
        super().__init__(configs=[*map(_with_unknown_lengths, stock), *ADDED])
        # XNNPACK's preprocessing runs 17 graph passes on each delegate; our graph needs none but the one this asks for.
        self.delegation_spec = DelegationSpec(XnnpackBackend.__name__, [CompileSpec("dqlinear_partitioner", b"")])

    def ops_to_not_decompose(self, ep: ExportedProgram) -> tuple[list[torch._ops.OpOverload], None]:
        """The operators to keep whole, wherever they stand: without a filter a third of the tracing falls away."""
        return super().ops_to_not_decompose(ep)[0], None

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        constants = _constants(ep)
        matched = (node for group in self.get_matched_nodes_from_configs(ep) for node in group)
        inside = {node for node in matched if node.op == "call_function"} - _before_angles(ep)
        depth: dict[Node, int] = {}
        groups: dict[int, list[Node]] = {}
        for node in ep.graph_module.graph.nodes:
            # of constants alone (a weight before its linear): joins the operator that needs it
            sources = [s for s in node.all_input_nodes if s in depth]
            if node.op != "call_function" or (not sources and node in inside):
                if node.op == "placeholder" and node.name not in constants:
                    depth[node] = 0
                continue
            depth[node] = max((depth[s] + (node in inside and s not in inside) for s in sources), default=0)
            if node in inside:
                groups.setdefault(depth[node], []).extend([*_constants_of(node, depth), node])
        return [Partition(id=d, nodes=dict.fromkeys(nodes)) for d, nodes in sorted(groups.items())]


def _before_angles(ep: ExportedProgram) -> set[Node]:
    """The rotary angles' own operators: with cosine and sine outside, these would only cost one more delegate."""
    found: set[Node] = set()
    waiting = [n for n in ep.graph_module.graph.nodes if n.op == "call_function" and n.target.__name__ in ANGLES]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _constants_of(node: Node, depth: dict[Node, int]) -> list[Node]:
    """Parameters that `node` reads, and operators on nothing but parameters in front of it, in graph order."""
    found: list[Node] = []
    for source in node.all_input_nodes:
        if source not in depth:
            found.extend([*_constants_of(source, depth), source])
    return found


def _constants(ep: ExportedProgram) -> set[str]:
    """The names of the placeholders that no call changes; the signature makes its tables anew whenever it is asked."""
    signature = ep.graph_signature
    changed = set(signature.buffers_to_mutate.values())
    buffers = {name for name, target in signature.inputs_to_buffers.items() if target not in changed}
    return {*buffers, *signature.inputs_to_lifted_tensor_constants}
