"""From a traced graph to the bytes of a .pte: hand over to XNNPACK, plan the memory, serialise."""

from typing import Any

import torch
from executorch.exir import (
    EdgeCompileConfig,
    EdgeProgramManager,
    ExecutorchBackendConfig,
    to_edge_transform_and_lower,
)
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.pass_base import PassBase, PassResult
from torch.export import ExportedProgram

from smolship.errors import RuntimeFailure
from smolship.export.executorch.partition import CacheSeparatedPartitioner
from smolship.export.executorch.planning import PlanningInPlace
from smolship.export.executorch.repeat import Repeated


def lower(program: ExportedProgram, constants: dict[str, Any], repeated: Repeated) -> EdgeProgramManager:
    """The graph with everything between two cache updates in one XNNPACK delegate; `constants` become constant methods.

    `repeated` makes the whole decoder of the layers that were traced, before anything is handed over. `RuntimeFailure`
    if it cannot, or with the name of a weight that XNNPACK left outside: it would run in float, many times slower.
    """
    try:
        edge = to_edge_transform_and_lower(
            program,
            # the copies last: ExecuTorch has numbered its handles with them, and so does what is repeated
            transform_passes=[repeated, _WithoutCopies()],
            partitioner=[CacheSeparatedPartitioner()],
            constant_methods=constants,
            # the verifier knows core ATen alone, and the graph keeps torchao's and the embedding's operators on purpose
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        )
    except Exception as failure:
        if isinstance(failure.__cause__, RuntimeFailure):  # ExecuTorch wraps whatever a pass raises
            raise failure.__cause__ from None
        raise
    left = [n for n in edge.exported_program().graph_module.graph.nodes if "torchao" in str(n.target)]
    if left:
        weights = {str(source) for n in left for source in n.all_input_nodes if source.op == "placeholder"}
        raise RuntimeFailure(f"XNNPACK did not take {', '.join(sorted(weights))}; use the ExecuTorch of the lock file")
    return edge


def serialise(edge: EdgeProgramManager) -> bytes:
    """The bytes of the .pte, delegates and weights in segments of their own so that they can be mapped and freed."""
    program = edge.to_executorch(
        ExecutorchBackendConfig(
            run_reinplace_pass=True,  # index_put becomes index_put_: the cache is not copied
            extract_delegate_segments=True,
            memory_planning_pass=PlanningInPlace(),
        )
    )
    return bytes(program.buffer)


class _WithoutCopies(PassBase):  # type: ignore[misc]
    """Drops copies: all of this graph are `.contiguous()` of a permutation, which is a copy itself in this dialect."""

    def call(self, graph_module: torch.fx.GraphModule) -> PassResult:
        clones = [n for n in graph_module.graph.nodes if n.target == exir_ops.edge.aten.clone.default]
        for clone in clones:
            clone.replace_all_uses_with(clone.args[0])
            graph_module.graph.erase_node(clone)
        graph_module.recompile()
        return PassResult(graph_module, bool(clones))
