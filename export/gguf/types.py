"""ggml's tensor types that this package writes: which grids each holds, and its pair of packing functions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.export.gguf import blocks_of_32 as simple
from smolship.export.gguf import super_blocks as k_quants
from smolship.quantize import Blocks


@dataclass(frozen=True)
class TensorType:
    """One line of the table."""

    name: str
    """of gguf.GGMLQuantizationType"""
    file_type: str
    """of gguf.LlamaFileType, for a file whose layers are mostly of this type"""
    grids: tuple[str, ...]
    pack: Callable[[Blocks], NDArray[np.uint8]]
    """to uint8 [out, bytes of a row]"""
    unpack: Callable[[NDArray[np.uint8]], Blocks]
    """its inverse"""


TYPES: dict[str, TensorType] = {
    line.name: line
    for line in (
        TensorType("Q4_0", "MOSTLY_Q4_0", ("int4-b32", "q4_0"), simple.pack_q4_0, simple.unpack_q4_0),
        TensorType("Q4_1", "MOSTLY_Q4_1", ("q4_1",), simple.pack_q4_1, simple.unpack_q4_1),
        TensorType("Q5_0", "MOSTLY_Q5_0", ("q5_0",), simple.pack_q5_0, simple.unpack_q5_0),
        TensorType("Q5_1", "MOSTLY_Q5_1", ("q5_1",), simple.pack_q5_1, simple.unpack_q5_1),
        TensorType("Q8_0", "MOSTLY_Q8_0", ("int8-b32",), simple.pack_q8_0, simple.unpack_q8_0),
        TensorType("IQ4_NL", "MOSTLY_IQ4_NL", ("iq4_nl",), simple.pack_iq4_nl, simple.unpack_iq4_nl),
        TensorType("Q4_K", "MOSTLY_Q4_K_S", ("q4_k",), k_quants.pack_q4_k, k_quants.unpack_q4_k),
        TensorType("Q5_K", "MOSTLY_Q5_K_S", ("q5_k",), k_quants.pack_q5_k, k_quants.unpack_q5_k),
        TensorType("Q6_K", "MOSTLY_Q6_K", ("q6_k",), k_quants.pack_q6_k, k_quants.unpack_q6_k),
    )
}

_OF_GRID = {grid: line for line in TYPES.values() for grid in line.grids}


def type_of(tensor: str, grid: str) -> TensorType:
    """The type that holds `grid`; `InputError` names the tensor and the grids that have one."""
    if grid not in _OF_GRID:
        raise InputError(f"{tensor}: GGUF has no type for grid {grid}; it has types for {', '.join(_OF_GRID)}")
    return _OF_GRID[grid]
