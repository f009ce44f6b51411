"""A module handed over to one backend as a whole, and the bytes of its .pte; what stays outside is an error."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from executorch.exir import (
    EdgeCompileConfig,
    EdgeProgramManager,
    ExecutorchBackendConfig,
    to_edge_transform_and_lower,
)
from executorch.exir.lowered_backend_module import LoweredBackendModule, executorch_call_delegate
from torch.export import ExportedProgram

from smolship.errors import RuntimeFailure
from smolship.quantize import Blocks, QuantizedModel


def lower(
    program: ExportedProgram, partitioner: Any, constants: dict[str, Any], title: str, outside: Sequence[str] = ()
) -> EdgeProgramManager:
    """The graph in one delegate, but for the operators of `outside`; `constants` become constant methods.

    `RuntimeFailure` names the operators that the backend left outside: they would run on the processor in float.
    """
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[partitioner],
        constant_methods=constants,
        # the verifier knows core ATen alone, and the graph keeps torchao's and the embedding's operators on purpose
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
    )
    calls = [str(n.target) for n in edge.exported_program().graph.nodes if n.op == "call_function"]
    left = {
        call for call in calls if not call.startswith(("<built-in function getitem>", str(executorch_call_delegate)))
    }
    left = {call for call in left if not any(name in call for name in outside)}
    if left:
        raise RuntimeFailure(f"{title} did not take {', '.join(sorted(left))}; use the ExecuTorch of the lock file")
    return edge


def require_integers(model: QuantizedModel, found: Mapping[str, Blocks], title: str) -> None:
    """`RuntimeFailure` names the first tensor that the backend's exporter changed: the file is never run here.

    Scales may be what float16 makes of them.
    """
    for name in model.matrices():
        wanted = model.blocks(name, "executorch")
        same = name in found and np.array_equal(found[name].codes, wanted.codes)
        if not same or not np.allclose(found[name].scales, wanted.scales, rtol=2.0**-11, atol=2.0**-24):
            raise RuntimeFailure(f"{title}'s exporter changed {name}; use the ExecuTorch of the lock file")


def delegates(edge: EdgeProgramManager) -> list[LoweredBackendModule]:
    """The parts that a backend took."""
    module = edge.exported_program().graph_module
    found = (getattr(module, str(n.target)) for n in module.graph.nodes if n.op == "get_attr")
    return [one for one in found if isinstance(one, LoweredBackendModule)]


def serialise(edge: EdgeProgramManager) -> bytes:
    """The bytes of the .pte, delegates and weights in segments of their own so that they can be mapped."""
    return bytes(edge.to_executorch(ExecutorchBackendConfig(extract_delegate_segments=True)).buffer)
