"""The map that makes a .pte readable again: XNNPACK keeps weights under hashes of their bytes and no names at all."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from smolship.checkpoint.architecture import EMBEDDING
from smolship.export.executorch.codes import INT4_GROUP, pack_even_high, pack_even_low
from smolship.quantize import Blocks

EMBEDDING_OPERATORS = {
    "int4-b32": "quantized_decomposed::embedding_4bit",
    "int8-row": "quantized_decomposed::embedding_byte",
}
"""The kernel that reads the embedding, by its grid."""

TENSORS_METHOD = "smolship_tensors"
"""A constant method of the file that returns this map as JSON: Hugging Face name -> `StoredTensor`."""


@dataclass(frozen=True)
class StoredTensor:
    """Where XNNPACK's data store keeps one tensor."""

    grid: str
    codes: str
    """sha256 of the packed codes, in hex"""
    scales: str
    """`scale_` and the sha256 of the scales: bfloat16 for 4 bits, float32 for 8"""
    pairs_swapped: bool = False
    """4 bits with columns 2i and 2i + 1 exchanged, which makes XNNPACK's bytes those of the embedding operator"""
    rows: tuple[int, int] | None = None
    """the first row and the one past the last, of several tensors that are stored as one"""

    @property
    def four_bit(self) -> bool:
        return self.grid == INT4_GROUP


def pairs_swapped(name: str, blocks: Blocks) -> bool:
    """Whether XNNPACK's codes are in the embedding operator's order: those of 4 bits that both read."""
    return name == EMBEDDING and blocks.grid == INT4_GROUP


def stored_tensor(name: str, blocks: Blocks) -> StoredTensor:
    """The keys under which ExecuTorch's XNNPACK exporter files these codes and scales.

    Those of an embedding that is no head it never sees; then they only say what the embedding's operator has to hold.
    """
    swapped = pairs_swapped(name, blocks)
    if blocks.grid == INT4_GROUP:
        codes = (pack_even_high if swapped else pack_even_low)(blocks.codes).tobytes()
        scales = (np.ascontiguousarray(blocks.scales, "<f4").view(np.uint32) >> 16).astype("<u2").tobytes()
    else:
        codes, scales = blocks.codes.tobytes(), np.ascontiguousarray(blocks.scales, "<f4").tobytes()
    return StoredTensor(blocks.grid, _digest(codes), "scale_" + _digest(scales), swapped)


def tensors_json(stored: dict[str, StoredTensor]) -> str:
    """The map as the constant method returns it."""
    return json.dumps({name: asdict(tensor) for name, tensor in stored.items()}, separators=(",", ":"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
