"""What ExecuTorch hands to Core ML: an .mlpackage in one blob. Its quantised weights, and its bytes without chance.

Layouts: coremltools' `MIL.proto`, and of weight.bin MILBlob's storage format version 2 (a 64-byte record in front of
each blob: sentinel, type, size and offset).
"""

import hashlib
import json
import struct
import tempfile
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError

ROOT, PACKAGE = "lowered_module", "model.mlpackage"
SPEC, WEIGHTS = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"
DATE = "com.github.apple.coremltools.conversion_date"
SENTINEL = 0xDEADBEEF
DEQUANTISE = "constexpr_blockwise_shift_scale"


@dataclass(frozen=True)
class Weight:
    """A quantised matrix of the program."""

    codes: NDArray[np.int8]
    """[out, in]"""
    scales: NDArray[np.float16]
    """[out, in / group size]"""
    users: frozenset[str]
    """the types of the operators that read it"""


def weights_of(blob: bytes) -> list[Weight]:
    """Every quantised matrix in the program; `InputError` for a blob that is not one of ours."""
    with tempfile.TemporaryDirectory() as name:
        package = _unflatten(blob, Path(name))
        operations = _operations((package / SPEC).read_bytes())
        data = (package / WEIGHTS).read_bytes()
    users: dict[str, set[str]] = defaultdict(set)
    for one in operations:
        for argument in (a for value in one.inputs.values() for a in value.arguments):
            users[argument.name].add(one.type)
    return [
        Weight(_codes(one, data), _scales(one, data), frozenset(users[one.outputs[0].name]))
        for one in operations
        if one.type == DEQUANTISE
    ]


def operators_of(blob: bytes) -> set[str]:
    """The types of the program's operators, in the words of Core ML's MIL."""
    with tempfile.TemporaryDirectory() as name:
        package = _unflatten(blob, Path(name))
        return {one.type for one in _operations((package / SPEC).read_bytes())}


def without_chance(blob: bytes) -> bytes:
    """The blob without date, random names and a debugger's tables, so that the same build gives the same bytes."""
    from executorch.backends.apple.coreml import executorchcoreml

    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as clean_name:
        found, clean = Path(name), Path(clean_name) / ROOT
        package = _unflatten(blob, found)
        spec = _parsed((package / SPEC).read_bytes())
        spec.description.metadata.userDefined.pop(DATE, None)
        program, weights = spec.SerializeToString(deterministic=True), (package / WEIGHTS).read_bytes()
        content = hashlib.sha256(program + weights).digest()
        names = json.loads((found / ROOT / "metadata.json").read_text())
        # Core ML keeps what it compiled under the identifier: another model must have another one.
        names["identifier"] = f"executorch_{uuid.UUID(bytes=content[:16], version=4)}"
        files = {
            "metadata.json": json.dumps(names).encode(),
            f"{PACKAGE}/Manifest.json": _manifest(content[16:]),
            f"{PACKAGE}/{SPEC}": program,
            f"{PACKAGE}/{WEIGHTS}": weights,
        }
        for place, data in files.items():
            (clean / place).parent.mkdir(parents=True, exist_ok=True)
            (clean / place).write_bytes(data)
        return bytes(executorchcoreml.flatten_directory_contents(str(clean)))


def _manifest(seed: bytes) -> bytes:
    """The package's table of contents, its random names made from the content."""
    root, weights = (str(uuid.uuid5(uuid.UUID(bytes=seed[:16]), name)) for name in ("model.mlmodel", "weights"))
    about = {"author": "com.apple.CoreML", "path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel"}
    data = {"author": "com.apple.CoreML", "path": "com.apple.CoreML/weights", "name": "weights"}
    entries = {
        root: {**about, "description": "CoreML Model Specification"},
        weights: {**data, "description": "CoreML Model Weights"},
    }
    return json.dumps(
        {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": root}, indent=4
    ).encode()


def _unflatten(blob: bytes, folder: Path) -> Path:
    """The .mlpackage, unpacked below `folder`."""
    from executorch.backends.apple.coreml import executorchcoreml

    if not executorchcoreml.unflatten_directory_contents(blob, str(folder)) or not (folder / ROOT / PACKAGE).is_dir():
        raise InputError("model.pte holds no Core ML package: it was not written by this version of smolship")
    return folder / ROOT / PACKAGE


def _parsed(data: bytes) -> Any:
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model()
    spec.ParseFromString(data)
    return spec


def _operations(data: bytes) -> list[Any]:
    """The operators of the program's one function, in order."""
    function = _parsed(data).mlProgram.functions["main"]
    return list(function.block_specializations[function.opset].operations)


def _codes(operation: Any, data: bytes) -> NDArray[np.int8]:
    from coremltools.proto import MIL_pb2

    value = operation.inputs["data"].arguments[0].value
    shape, raw = _blob(value, data)
    if value.type.tensorType.dataType == MIL_pb2.INT8:
        return np.frombuffer(raw, np.int8).reshape(shape)
    if value.type.tensorType.dataType != MIL_pb2.INT4:
        raise InputError(f"model.pte holds {operation.outputs[0].name} in neither 4 nor 8 bits; rebuild the artefact")
    packed = np.frombuffer(raw, np.uint8)  # two a byte, the even column in the low half, each in two's complement
    pairs = np.stack((packed << 4, packed), axis=-1).view(np.int8) >> 4
    return np.ascontiguousarray(pairs.reshape(-1)[: int(np.prod(shape))].reshape(shape))


def _scales(operation: Any, data: bytes) -> NDArray[np.float16]:
    shape, raw = _blob(operation.inputs["scale"].arguments[0].value, data)
    return np.frombuffer(raw, np.float16).reshape(shape)


def _blob(value: Any, data: bytes) -> tuple[tuple[int, ...], bytes]:
    """The shape of a constant and its bytes in weight.bin."""
    shape = tuple(dimension.constant.size for dimension in value.type.tensorType.dimensions)
    sentinel, _, size, offset = struct.unpack_from("<IIQQ", data, value.blobFileValue.offset)
    if sentinel != SENTINEL:
        raise InputError("model.pte holds Core ML weights of another layout than this version's; rebuild the artefact")
    return shape, data[offset : offset + size]
