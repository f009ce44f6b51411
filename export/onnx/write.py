"""Write a model as one file, or with its weights in a second one beside it; one initialiser in memory at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from smolship.errors import InputError

LARGEST_FILE = 2**31 - 1
"""bytes that one protobuf message may have"""
DATA = ".data"
"""what the second file's name has after the model's"""
PAGE = 4096
"""Weights in the second file begin at multiples of this many bytes, so that a runtime can map each."""
SMALLEST_BESIDE = 1024
"""bytes; smaller constants stay in the model, where shapes are inferred from them"""

# Field numbers of onnx.proto, as protobuf tags of length-delimited fields (number · 8 + 2).
_GRAPH_OF_MODEL, _INITIALIZER_OF_GRAPH, _RAW_DATA_OF_TENSOR = b"\x3a", b"\x2a", b"\x4a"


def write_model(model: ir.Model, path: Path, *, external: bool = False) -> None:
    """Write `model`, the same bytes for the same model; its initialisers stand at the end of the graph.

    An ordinary ModelProto: serialising it whole would hold every weight three times. With `external` the weights lie
    in a second file, named after the first (ONNX's external data, by relative place). `InputError` if a file has more
    bytes than a protobuf message may; nothing is written then.
    """
    values = list(model.graph.initializers.values())
    model.graph.initializers.clear()
    try:
        proto = ir.serde.serialize_model(model)
    finally:
        for value in values:
            model.graph.register_initializer(value)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    head = proto.SerializeToString(deterministic=True)
    tensors = [value.const_value for value in values if value.const_value is not None]
    places = _places([tensor for tensor in tensors if external and tensor.nbytes >= SMALLEST_BESIDE])
    fields = [
        _field(tensor, path.name + DATA, places[tensor.name]) if tensor.name in places else _prefix(tensor)
        for tensor in tensors
    ]
    total = len(graph) + sum(map(len, fields))
    total += sum(tensor.nbytes for tensor in tensors if tensor.name not in places)
    if len(head) + total > LARGEST_FILE - 64:
        raise InputError(
            f"the ONNX model takes {total} bytes, one file at most {LARGEST_FILE}; choose a 4-bit recipe, or have the "
            "weights in a second file (--weights-beside)"
        )
    with path.open("wb") as file:
        file.write(head + _GRAPH_OF_MODEL + _varint(total) + graph)
        for field, tensor in zip(fields, tensors, strict=True):
            file.write(field)
            if tensor.name not in places:
                _write_data(file, tensor)
    if places:
        with path.with_name(path.name + DATA).open("wb") as file:
            for tensor in tensors:
                if tensor.name in places:
                    file.write(bytes(places[tensor.name] - file.tell()))
                    _write_data(file, tensor)


def _places(tensors: Sequence[ir.TensorProtocol]) -> dict[str | None, int]:
    """Where in the second file each tensor's bytes begin, by its name."""
    places: dict[str | None, int] = {}
    end = 0
    for tensor in tensors:
        places[tensor.name] = -(-end // PAGE) * PAGE
        end = places[tensor.name] + tensor.nbytes
    return places


def _field(tensor: ir.TensorProtocol, file: str, at: int) -> bytes:
    """A graph's whole initialiser field of a tensor whose bytes lie in `file`, from `at` on."""
    header = _header(tensor)
    header.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": file, "offset": at, "length": tensor.nbytes}.items():
        header.external_data.add(key=key, value=str(value))
    body = header.SerializeToString(deterministic=True)
    return bytes(_INITIALIZER_OF_GRAPH + _varint(len(body)) + body)


def _header(tensor: ir.TensorProtocol) -> onnx.TensorProto:
    return onnx.TensorProto(name=tensor.name, data_type=int(tensor.dtype), dims=tensor.shape.numpy())


def _prefix(tensor: ir.TensorProtocol) -> bytes:
    """Everything of a graph's initialiser field that comes before the tensor's raw data."""
    body = _header(tensor).SerializeToString(deterministic=True) + _RAW_DATA_OF_TENSOR + _varint(tensor.nbytes)
    return bytes(_INITIALIZER_OF_GRAPH + _varint(len(body) + tensor.nbytes) + body)


def _write_data(file: BinaryIO, tensor: ir.TensorProtocol) -> None:
    data = tensor.tobytes()
    if len(data) != tensor.nbytes:
        raise ValueError(f"{tensor.name}: {len(data)} bytes, {tensor.nbytes} declared")
    file.write(data)


def _varint(number: int) -> bytes:
    """A protobuf variable-length integer: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
