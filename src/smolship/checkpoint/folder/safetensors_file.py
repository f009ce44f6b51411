"""safetensors files: where each tensor lies, and its values read through a memory map.

Read here by hand because the library's numpy side knows no bfloat16. Format: https://huggingface.co/docs/safetensors
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.refused.stand_ins import refuse_stand_in
from smolship.checkpoint.values import require_finite
from smolship.errors import InputError

STORED: dict[str, tuple[str, type[np.generic]]] = {
    "F32": ("float32", np.float32),
    "F16": ("float16", np.float16),
    "BF16": ("bfloat16", np.uint16),
}
"""The storages that are read: the name here, and the numpy type of the bytes."""

_HEADER_LIMIT = 100_000_000  # the format's own


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's place: its file, storage (`F32`, `F16`, `BF16`, ...), shape, first byte."""

    path: Path
    storage: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class SafetensorsTensors:
    """The tensors of one or several memory-mapped safetensors files."""

    places: dict[str, StoredTensor]

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32; `InputError` names a tensor that is missing or not finite."""
        place = self.places.get(name)
        if place is None:
            raise InputError(f"the checkpoint has no tensor {name}: ask for one of its {len(self.places)}")
        return require_finite(name, read_rows(place))


def read_rows(place: StoredTensor, rows: slice = slice(None)) -> NDArray[np.float32]:
    """A tensor as float32, or some of its rows, which are all that is read."""
    mapped = np.memmap(place.path, STORED[place.storage][1], "r", place.offset, place.shape)[rows]
    if place.storage == "BF16":  # bfloat16 is the upper half of a float32
        return (mapped.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.array(mapped, dtype=np.float32)


def read_places(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of one file; `InputError` if the file is truncated or its header is malformed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            refuse_stand_in(path)
            raise InputError(
                f"{path} is truncated or no safetensors file: its header claims {length} bytes, the file has {size}: "
                "fetch it again"
            )
        try:
            header = json.loads(file.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            return {name: _place(path, name, entry, 8 + length, size) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} has a malformed safetensors header ({error}): fetch it again") from error


def _place(path: Path, name: str, entry: dict[str, Any], start: int, size: int) -> StoredTensor:
    shape = tuple(int(extent) for extent in entry["shape"])
    begin, end = (int(offset) for offset in entry["data_offsets"])
    storage = str(entry["dtype"])
    if storage in STORED and end - begin != prod(shape) * np.dtype(STORED[storage][1]).itemsize:
        raise ValueError(f"{name} has {end - begin} bytes for the shape {list(shape)}")
    if not 0 <= begin <= end:
        raise ValueError(f"{name} lies from {begin} to {end}")
    if start + end > size:
        raise InputError(f"{path} is truncated: {name} ends at byte {start + end}, the file has {size}: fetch it again")
    return StoredTensor(path, storage, shape, start + begin)
