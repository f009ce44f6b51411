"""ONNX Runtime's own format (a flatbuffer, `onnxruntime/core/flatbuffers/schema/ort.fbs`) read into tables and written.

A table is the list of its fields in the schema's order, `None` where one is absent.
"""

import struct
from typing import Any

import flatbuffers
import numpy as np

from smolship.errors import SmolshipError

IDENTIFIER = b"ORTM"
ALIGNMENT = 64
"""of tensors' bytes: an app that maps the file has kernels read them where they lie"""

TABLES: dict[str, tuple[str, ...]] = {
    "InferenceSession": ("text", "Model", "absent", "KernelTypeStrResolver"),
    "Model": ("q", "[OperatorSetId", "text", "text", "text", "q", "text", "Graph", "text", "[StringStringEntry"),
    "OperatorSetId": ("text", "q"),
    "StringStringEntry": ("text", "text"),
    "Graph": (
        *("[Tensor", "[ValueInfo", "[Node", "I", "[NodeEdge", "[text", "[text", "[absent"),
        "RuntimeOptimizations",
    ),
    "RuntimeOptimizations": ("[absent",),
    "Tensor": ("text", "text", "[q", "i", "[B", "[text", "q"),
    "ValueInfo": ("text", "text", "TypeInfo"),
    "TypeInfo": ("text", "B", "TensorTypeAndShape"),
    "TensorTypeAndShape": ("i", "Shape"),
    "Shape": ("[Dimension",),
    "Dimension": ("DimensionValue", "text"),
    "DimensionValue": ("b", "q", "text"),
    "Node": (
        *("text", "text", "text", "i", "I", "text", "i", "text", "[text", "[text", "[Attribute"),
        *("[i", "[text"),
    ),
    "Attribute": (
        *("text", "text", "i", "f", "q", "text", "Tensor", "absent", "[f", "[q", "[text", "[Tensor"),
        "[absent",
    ),
    "NodeEdge": ("I", "[III", "[III"),
    "KernelTypeStrResolver": ("[OpIdKernelTypeStrArgsEntry",),
    "OpIdKernelTypeStrArgsEntry": ("text", "[KernelTypeStrArgsEntry"),
    "KernelTypeStrArgsEntry": ("text", "[ArgTypeAndIndex"),
    "ArgTypeAndIndex": ("b", "I"),
}
"""What each field is: a number (by `struct`'s letter), text, a table, or after `[` a vector of them; `absent` is never
there in files of ours (subgraphs, sparse tensors, saved optimisations)."""
Table = list[Any]


def read_tables(data: bytes) -> Table:
    """The file's root, an `InferenceSession`; `SmolshipError` if it has what no table above says."""
    if data[4:8] != IDENTIFIER:
        raise SmolshipError("the file is not in ONNX Runtime's own format")
    return _read_table(memoryview(data), _number(data, "I", 0), "InferenceSession")


def write_tables(root: Table) -> bytes:
    """The bytes of a file with that root: the same for the same tables."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(_write_table(builder, root, "InferenceSession"), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _number(data: Any, kind: str, at: int) -> Any:
    return struct.unpack_from("<" + kind, data, at)[0]


def _read_table(data: memoryview, at: int, name: str) -> Table:
    vtable = at - _number(data, "i", at)
    count = (_number(data, "H", vtable) - 4) // 2
    offsets = [_number(data, "H", vtable + 4 + 2 * slot) for slot in range(count)]
    kinds = TABLES[name]
    if any(offsets[len(kinds) :]):
        raise SmolshipError(f"{name} of this ONNX Runtime's format has a field that smolship does not know")
    offsets = (offsets + [0] * len(kinds))[: len(kinds)]
    return [_read(data, at + offset, kind) if offset else None for offset, kind in zip(offsets, kinds, strict=True)]


def _read(data: memoryview, at: int, kind: str) -> Any:
    """One field, or one element of a vector, that lies or is pointed to at `at`."""
    if len(kind) == 1:
        return _number(data, kind, at)
    at += _number(data, "I", at)
    if kind in TABLES:
        return _read_table(data, at, kind)
    length = _number(data, "I", at)
    start, element = at + 4, kind[1:]
    if kind == "text":
        return bytes(data[start : start + length])
    if element == "text" or element in TABLES:
        return [_read(data, start + 4 * index, element) for index in range(length)]
    if kind == "absent" or (element == "absent" and length):
        raise SmolshipError("the file has subgraphs, sparse tensors or saved optimisations, which ours never have")
    return data[start : start + length * _size(element)]


def _size(element: str) -> int:
    """Bytes of a vector's element of numbers."""
    return 0 if element == "absent" else struct.calcsize("<" + element)


def _write_table(builder: flatbuffers.Builder, table: Table, name: str) -> int:
    kinds = TABLES[name]
    found = [
        value if value is None or len(kind) == 1 else _write(builder, value, kind)
        for kind, value in zip(kinds, table, strict=True)
    ]
    builder.StartObject(len(kinds))
    for slot, (kind, value) in enumerate(zip(kinds, found, strict=True)):
        if value is not None:
            if len(kind) == 1:
                builder.Prep(struct.calcsize(kind), 0)
                builder.head -= struct.calcsize(kind)
                struct.pack_into("<" + kind, builder.Bytes, builder.head, value)
            else:
                builder.PrependUOffsetTRelative(value)
            builder.Slot(slot)
    return int(builder.EndObject())


def _write(builder: flatbuffers.Builder, value: Any, kind: str) -> int:
    """What a field points to; its place in the file."""
    if kind in TABLES:
        return _write_table(builder, value, kind)
    if kind == "text":
        return int(builder.CreateString(value))
    element = kind[1:]
    if element == "text" or element in TABLES:
        places = [_write(builder, each, element) for each in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())
    data, size = np.frombuffer(value, np.uint8), max(_size(element), 1)
    builder.StartVector(size, len(data) // size, ALIGNMENT if element == "B" else min(size, 8))
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data.tobytes()
    return int(builder.EndVector())
