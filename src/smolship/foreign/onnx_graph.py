"""What an ONNX graph says of itself without being run: inputs, external data, and how every weight is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smolship.artefact import TensorRecord
from smolship.errors import InputError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# TensorProto.DataType: name and bits
_FLOATS = {1: ("float32", 32), 10: ("float16", 16), 11: ("float64", 64), 16: ("bfloat16", 16)}
_INTEGERS = {2: ("uint8", 8), 3: ("int8", 8), 21: ("uint4", 4), 22: ("int4", 4)}
_KINDS = _FLOATS | _INTEGERS
# Operators that read quantised weights, and which of their inputs are codes, scales and zero points.
_QUANTISED = {"MatMulNBits": (1, 2, 3), "GatherBlockQuantized": (0, 2, 3), "DequantizeLinear": (0, 1, 2)}
# Operators that read tables of cosines and sines, which are no weights.
_ROTARY = {"GroupQueryAttention": (7, 8), "RotaryEmbedding": (2, 3), "MultiHeadRotaryAttention": (3, 4)}
_MOVES = ("Reshape", "Transpose", "Cast", "Squeeze", "Unsqueeze", "Identity")
"""operators that leave the numbers as they are"""


@dataclass(frozen=True)
class Graph:
    """One decoder's graph."""

    inputs: tuple[str, ...]
    one_row: bool
    """it is declared to give logits of one position alone"""
    data: Mapping[str, int]
    """files of external data, relative to the model's own folder, and how many bytes each has to have"""
    coverage: tuple[TensorRecord, ...]
    producer: dict[str, str]
    """what wrote it, and its version"""


def read_graph(path: Path) -> Graph:
    """Read a model file without its external data; `InputError` if it is no ONNX model or nothing here can read one."""
    model = _load(path)
    graph = model.graph
    logits = next((value for value in graph.output if value.name == "logits"), None)
    if logits is None:
        raise InputError(f"{path.name} has no output called logits: give a decoder that Optimum or GenAI exported")
    shape = [each.dim_value for each in logits.type.tensor_type.shape.dim]
    try:
        data, coverage = _external(graph), _Coverage(graph).lines()
    except (LookupError, ArithmeticError, ValueError) as error:
        raise InputError(
            f"{path.name} has weights that make no sense ({type(error).__name__}: {error}): export it again"
        ) from error
    return Graph(
        inputs=tuple(value.name for value in graph.input),
        one_row=len(shape) == 3 and shape[1] == 1,
        data=data,
        coverage=coverage,
        producer={model.producer_name: model.producer_version} if model.producer_name else {},
    )


def _load(path: Path) -> "ModelProto":
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise InputError("reading .onnx files needs onnx, which is not here: pip install 'smolship[onnx]'") from error
    try:
        return onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise InputError(f"{path} is no ONNX model, or is cut short: fetch or export it again") from error


def _external(graph: "GraphProto") -> dict[str, int]:
    files: dict[str, int] = {}
    for tensor in graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.data_location == 1:  # EXTERNAL
            end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
            files[entries["location"]] = max(files.get(entries["location"], 0), end)
    return files


class _Coverage:
    """Every constant tensor of more than one number: read by a quantised operator, a table, or a weight as it is."""

    def __init__(self, graph: "GraphProto") -> None:
        self._nodes = list(graph.node)
        self._tensors: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._moved: dict[str, str] = {}
        for node in self._nodes:
            if node.op_type == "Constant":
                value = next((each.t for each in node.attribute if each.name == "value"), None)
                self._tensors |= {} if value is None else {node.output[0]: value}
            elif node.op_type in _MOVES:
                self._moved[node.output[0]] = node.input[0]

    def lines(self) -> tuple[TensorRecord, ...]:
        """A line for each weight, in the order of their names."""
        taken: set[str] = set()
        lines: dict[str, TensorRecord] = {}
        for node in self._nodes:
            taken |= {name for at in _ROTARY.get(node.op_type, ()) if (name := self._constant(node, at))}
            if node.op_type in _QUANTISED:
                codes, *parts = (self._constant(node, at) for at in _QUANTISED[node.op_type])
                if codes is not None:
                    taken |= {codes, *(part for part in parts if part is not None)}
                    lines.setdefault(codes, self._quantised(node, codes, parts))
        plain = {name: self._plain(name) for name in self._tensors if name not in taken}
        return tuple(line for _, line in sorted({**lines, **plain}.items()) if line is not None)

    def _constant(self, node: "NodeProto", at: int) -> str | None:
        """The name of the constant tensor that an input is made of without changing its numbers."""
        name = node.input[at] if at < len(node.input) else ""
        seen = set[str]()  # a circle is no graph, and must not hang
        while name in self._moved and name not in seen:
            seen.add(name)
            name = self._moved[name]
        return name if name in self._tensors else None

    def _quantised(self, node: "NodeProto", codes: str, parts: list[str | None]) -> TensorRecord:
        scales, zero_points = parts
        attributes = {each.name: each.i for each in node.attribute}
        dims = tuple(self._tensors[codes].dims)
        grid = f"{node.op_type} of {_KINDS[self._tensors[codes].data_type][0]}"
        if node.op_type == "MatMulNBits":
            dims = attributes["N"], attributes["K"]
        elif node.op_type == "GatherBlockQuantized" and scales is not None:
            rows = self._tensors[scales].dims
            dims = rows[0], rows[-1] * attributes["block_size"]
        if "block_size" in attributes:
            kind = "with zero points" if zero_points is not None else "symmetric"
            grid = f"{attributes.get('bits', 4)} bits in blocks of {attributes['block_size']}, {kind}"
        stored = sum(self._bits(name) for name in (codes, *parts) if name is not None)
        return _line(codes, dims, grid, stored / prod(dims))

    def _plain(self, name: str) -> TensorRecord | None:
        """A tensor that is stored as it is; `None` for what is no weight: a single number, and shapes and axes."""
        tensor = self._tensors[name]
        kinds = _FLOATS if len(tensor.dims) < 2 else _KINDS
        if tensor.data_type not in kinds or prod(tensor.dims) <= 1:
            return None
        grid, bits = kinds[tensor.data_type]
        return _line(name, tuple(tensor.dims), grid, bits)

    def _bits(self, name: str) -> int:
        tensor = self._tensors[name]
        return int(prod(tensor.dims)) * _KINDS[tensor.data_type][1]


def _line(name: str, dims: tuple[Any, ...], grid: str, bits: float) -> TensorRecord:
    return TensorRecord(tensor=name, shape=dims, grid=grid, bits_per_weight=bits, relative_error=None)
