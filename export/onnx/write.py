"""Write a model as one file, one initialiser in memory at a time."""

from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from smolship.errors import InputError

LARGEST_FILE = 2**31 - 1
"""bytes that one protobuf message may have"""

# Field numbers of onnx.proto, as protobuf tags of length-delimited fields (number · 8 + 2).
_GRAPH_OF_MODEL, _INITIALIZER_OF_GRAPH, _RAW_DATA_OF_TENSOR = b"\x3a", b"\x2a", b"\x4a"


def write_model(model: ir.Model, path: Path) -> None:
    """Write `model`, the same bytes for the same model; its initialisers stand at the end of the graph.

    An ordinary ModelProto: serialising it whole would hold every weight three times. `InputError` if it has more
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
    prefixes = [_prefix(tensor) for tensor in tensors]
    total = len(graph) + sum(len(prefix) + tensor.nbytes for prefix, tensor in zip(prefixes, tensors, strict=True))
    if len(head) + total > LARGEST_FILE - 64:
        raise InputError(f"the ONNX model takes {total} bytes, one file at most {LARGEST_FILE}; choose a 4-bit recipe")
    with path.open("wb") as file:
        file.write(head + _GRAPH_OF_MODEL + _varint(total) + graph)
        for prefix, tensor in zip(prefixes, tensors, strict=True):
            _write_tensor(file, prefix, tensor)


def _prefix(tensor: ir.TensorProtocol) -> bytes:
    """Everything of a graph's initialiser field that comes before the tensor's raw data."""
    header = onnx.TensorProto(name=tensor.name, data_type=int(tensor.dtype), dims=tensor.shape.numpy())
    body = header.SerializeToString(deterministic=True) + _RAW_DATA_OF_TENSOR + _varint(tensor.nbytes)
    return bytes(_INITIALIZER_OF_GRAPH + _varint(len(body) + tensor.nbytes) + body)


def _write_tensor(file: BinaryIO, prefix: bytes, tensor: ir.TensorProtocol) -> None:
    data = tensor.tobytes()
    if len(data) != tensor.nbytes:
        raise ValueError(f"{tensor.name}: {len(data)} bytes, {tensor.nbytes} declared")
    file.write(prefix)
    file.write(data)


def _varint(number: int) -> bytes:
    """A protobuf variable-length integer: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
