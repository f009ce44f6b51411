"""For phones: the model in ONNX Runtime's own format, and the operators that an app's reduced build of it needs."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from smolship.errors import SmolshipError
from smolship.export.onnx.operators import CONTRIB, lowest_runtime
from smolship.export.onnx.ort_format import TABLES, Table, read_tables, write_tables
from smolship.export.onnx.weights import add_initializer
from smolship.export.onnx.write import write_model
from smolship.quiet import quiet

ORT_FILE = "model.ort"
CONFIG_FILE = "required_operators_and_types.config"
DOMAIN, OP_TYPE, ATTRIBUTES = 2, 5, 10  # fields of a Node
NAMED = frozenset({"Attribute", "KernelTypeStrArgsEntry", "OpIdKernelTypeStrArgsEntry", "OperatorSetId"}) | {
    *("StringStringEntry", "Tensor", "ValueInfo"),
}
"""tables that begin with their name, whose order in a vector says nothing"""
ERROR = 3  # onnxruntime's severity; its warning is that the file it writes suits this machine, at levels not used here


def write_ort(source: Path, target: Path) -> str:
    """Write the model at `source`, model.onnx, to `target` in ONNX Runtime's own format; the same bytes for the same.

    ONNX Runtime does not optimise such a file when it loads it. So what it folds in model.onnx at load is folded here
    (basic optimisations: none depends on the machine), or `MatMulNBits` would find scales that are not constant and
    give zeros (see `weights.add_blocks`). Scales take 4 bytes instead of 2 then, and the rotary tables are in the
    file. What comes back is the lowest ONNX Runtime that computes what both files say; `SmolshipError` if the graph
    needs what that one does not know.
    """
    lowest = lowest_runtime(ir.load(source))
    with TemporaryDirectory(prefix=".fold-", dir=target.parent) as scratch:
        folded, shared, raw = (Path(scratch) / name for name in ("folded.onnx", "shared.onnx", "raw.ort"))
        _save(source, folded, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC, "ONNX")
        model, _ = share_scales(ir.load(folded))
        write_model(model, shared, external=True)
        _save(shared, raw, ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "ORT")
        root = read_tables(raw.read_bytes())
    settle(root, "InferenceSession")
    target.write_bytes(write_tables(root))
    return lowest


def share_scales(model: ir.Model) -> tuple[ir.Model, bool]:
    """A pass: an embedding reads the scales of the head that it is tied to, through a `Reshape`, which moves nothing.

    Folding gives `GatherBlockQuantized` a copy of its own, [rows, groups, 1], because `MatMulNBits` takes no other
    shape than [rows, groups]. It has to read an initialiser itself.
    """
    heads = {node.inputs[1]: node.inputs[2] for node in model.graph if node.op_type == "MatMulNBits"}
    changed = False
    for node in [node for node in model.graph if node.op_type == "GatherBlockQuantized"]:
        own, head = node.inputs[2], heads.get(node.inputs[0])
        if own is None or head is None or own is head or not _same(own, head):
            continue
        shape = add_initializer(model.graph, f"{own.name}.shape", np.array(_numbers(own).shape, np.int64))
        reshaped = ir.node("Reshape", [head, shape], name=f"{node.name}/scales")
        reshaped.outputs[0].name = f"{own.name}.shared"
        reshaped.outputs[0].type, reshaped.outputs[0].shape = own.type, own.shape
        model.graph.insert_before(node, reshaped)
        node.replace_input_with(2, reshaped.outputs[0])
        del model.graph.initializers[str(own.name)]
        changed = True
    return model, changed


def settle(table: Table, name: str) -> None:
    """Put what ONNX Runtime writes in any order into one, and drop the attributes that `operators.LOWEST` refuses.

    It spells out the default of every attribute that it knows itself; `lowest_runtime` saw that the graph sets none
    but those of `CONTRIB`, so what goes says nothing.
    """
    for kind, value in zip(TABLES[name], table, strict=True):
        element = kind.removeprefix("[")
        if value is None or element not in TABLES:
            continue
        for each in value if kind.startswith("[") else [value]:
            settle(each, element)
        if kind.startswith("[") and element in NAMED:
            value.sort(key=lambda named: named[0])
    if name == "Node" and table[DOMAIN] == b"com.microsoft":
        known, _ = CONTRIB[table[OP_TYPE].decode()]
        table[ATTRIBUTES] = [each for each in table[ATTRIBUTES] if each[0].decode() in known]


def required_operators(path: Path) -> bytes:
    """The build configuration for the file at `path`, which `write_ort` wrote; `--include_ops_by_config` takes it.

    Operators by domain and opset with the types that each is used with, as ONNX Runtime's own tool finds them; its
    heading, which has the file's place on this machine, is replaced.
    """
    from onnxruntime.tools.ort_format_model import create_config_from_models

    with TemporaryDirectory() as scratch, quiet():  # it logs, and leaves closing its files to the collector
        found = Path(scratch) / CONFIG_FILE
        create_config_from_models([path], found, enable_type_reduction=True)
        lines = [line for line in found.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    heading = f"# The operators and types of {path.name}, which ONNX Runtime {ort.__version__} wrote"
    return ("\n".join([heading, *lines]) + "\n").encode()


def _same(own: ir.Value, head: ir.Value) -> bool:
    """Whether both are constants, of the same numbers."""
    constant = own.const_value is not None and head.const_value is not None
    return constant and np.array_equal(_numbers(own).ravel(), _numbers(head).ravel())


def _numbers(value: ir.Value) -> NDArray[Any]:
    tensor = value.const_value
    return np.empty(0) if tensor is None else tensor.numpy()


def _save(source: Path, target: Path, level: ort.GraphOptimizationLevel, form: str) -> None:
    """Load the model at `source` and write it to `target` as it is then; `SmolshipError` if it did not come about."""
    options = ort.SessionOptions()
    options.log_severity_level = ERROR
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", form)
    if form == "ONNX":  # weights that lie beside `source` would still be looked for there
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{target.name}.data"
        )
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    if not target.is_file():
        raise SmolshipError(f"ONNX Runtime {ort.__version__} wrote no {target.name}")
