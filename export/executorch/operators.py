"""The list of the kernels that a .pte calls, from which an app builds an ExecuTorch that has these and no others.

ExecuTorch's CMake hands the file of `EXECUTORCH_SELECT_OPS_YAML` to `codegen/tools/gen_oplist.py` as a schema: a list
of `- op: NAMESPACE::NAME.OVERLOAD`. What gen_oplist itself writes (`selected_operators.yaml`) is another form, which
that option refuses. A schema has no place for types: a build by types reads the .pte (`EXECUTORCH_SELECT_OPS_MODEL`).
"""

from pathlib import Path

from smolship.errors import InputError
from smolship.export.executorch.program import PteFile

OPERATORS_FILE = "model.operators.yaml"
"""its name in an artefact's folder"""

RUNTIME = {"aten", "executorch_prim"}
"""namespaces that no option turns on: kernels that are selected, and the runtime's own on single numbers"""
OPTIONS = {
    "CoreMLBackend": "EXECUTORCH_BUILD_COREML",
    "VulkanBackend": "EXECUTORCH_BUILD_VULKAN",
    "XnnpackBackend": "EXECUTORCH_BUILD_XNNPACK",
    "llama": "EXECUTORCH_BUILD_KERNELS_LLM",
    "quantized_decomposed": "EXECUTORCH_BUILD_KERNELS_QUANTIZED",
}
"""What ExecuTorch's CMake calls a backend, and the library of a namespace, which it builds whole."""


def operators_yaml(data: bytes) -> str:
    """The operators of all methods of a .pte, sorted; the options that an app's build needs besides are in a comment.

    `InputError` if `data` is no .pte with segments, or has a backend or operators that are not in `OPTIONS`.
    """
    pte = PteFile(data)
    operators = {operator for method in pte.methods for operator in pte.operators(method)}
    backends = {backend for method in pte.methods for backend in pte.backends(method)}
    needs = backends | {operator.split("::")[0] for operator in operators} - RUNTIME
    if unknown := sorted(needs - OPTIONS.keys()):
        raise InputError(f"model.pte needs {', '.join(unknown)}; known are {', '.join(sorted(OPTIONS))}")
    lines = ["# The operators that model.pte calls, for -DEXECUTORCH_SELECT_OPS_YAML=. It also needs:"]
    lines += [f"#   -D{OPTIONS[name]}=ON ({name})" for name in sorted(needs)]
    return "\n".join([*lines, *(f"- op: {operator}" for operator in sorted(operators)), ""])


def write_program(data: bytes, folder: Path) -> None:
    """A .pte and the list of its operators, into an artefact's folder; the errors of `operators_yaml`."""
    (folder / "model.pte").write_bytes(data)
    (folder / OPERATORS_FILE).write_text(operators_yaml(data), encoding="utf-8")
