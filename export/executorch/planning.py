"""Where the tensors of a .pte lie in memory, by ExecuTorch's planner; what is told here is that the cache stays put."""

from typing import Any, cast

import torch
from executorch.exir.passes import MemoryPlanningPass
from torch.fx import GraphModule, Node


class PlanningInPlace(MemoryPlanningPass):  # type: ignore[misc]
    """Memory planning that knows what is a part of a cache, and gives it no memory of its own.

    - An updated cache is the cache. A graph gives the buffers that it changed as outputs, and the stock planner would
      set aside a second one at the end.
    - So are some of its rows, one below the other. ExecuTorch has no operator that gives them without a copy; but
      `empty` takes a size and touches nothing, and the planner puts a tensor into another one that is named as its
      `storage_base`.
    """

    def run(self, graph_module: GraphModule, graph_signature: Any = None) -> Any:
        for node in graph_module.graph.nodes:
            if _is_updated_cache(node):
                node.meta["spec"] = node.args[0].meta["spec"]
            elif node.target == torch.ops.aten.narrow_copy.out and _is_updated_cache(cast("Node", node.args[0])):
                _read_in_place(node)
            elif node.op == "output":
                node.meta["spec"] = [value.meta["spec"] for value in node.args[0]]
        graph_module.recompile()
        return super().run(graph_module, graph_signature)


def _is_updated_cache(node: Node) -> bool:
    return node.op == "call_function" and "index_put_" in str(node.target)


def _read_in_place(node: Node) -> None:
    """Make of a copy of a cache's rows, from a row that is known, those rows themselves."""
    cache, axis, start, length = cast("tuple[Node, int, object, Any]", node.args)
    if axis != 0 or not isinstance(start, int):
        raise ValueError(f"{node.name}: only rows from a known one on can be read where they lie")
    spec, whole = node.meta["spec"], cache.meta["spec"]
    spec.shape = [min(int(spec.shape[0]), whole.shape[0] - start), *spec.shape[1:]]  # the tracer's bound is loose
    spec.storage_base = whole
    spec.storage_base_offset = start * whole.nbytes() // whole.shape[0]
    node.target = torch.ops.aten.empty.out
    node.args = ([length, *(int(extent) for extent in spec.shape[1:])],)
