"""The grids a weight can lie on: which codes, which scales, how many bits; each a literal line of `GRIDS`."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError, unknown_name


class ScaleFormat(Enum):
    """The numbers a scale may be: what the narrowest of the runtimes that read the grid can hold exactly."""

    BFLOAT16_IN_FLOAT16 = "positive, at most 8 significant bits, within float16's normal range"
    FLOAT16 = "float16"
    FLOAT32 = "float32, positive and normal"


@dataclass(frozen=True)
class Grid:
    """A symmetric integer grid: `weight ≈ code · scale`, codes in [low, high], one scale per group of a row."""

    name: str
    bits: int
    low: int
    high: int
    group_size: int | None
    """codes that share a scale along a row; `None` is the whole row"""
    scale_format: ScaleFormat
    note: str

    def group_of(self, tensor: str, row: int) -> int:
        """The group size on rows of `row` weights; `InputError` names the tensor if the group does not divide them."""
        if self.group_size is None:
            return row
        if row % self.group_size:
            raise InputError(
                f"{tensor}: rows of {row} weights cannot be cut into the groups of {self.group_size} that grid "
                f"{self.name} needs; choose a recipe whose group size divides {row}"
            )
        return self.group_size

    def bits_per_weight(self, row: int) -> float:
        """Code bits plus the share of the scale, as stored with the narrowest scale type that holds it exactly."""
        scale_bits = 32 if self.scale_format is ScaleFormat.FLOAT32 else 16
        return self.bits + scale_bits / (self.group_size or row)


GRIDS: dict[str, Grid] = {
    grid.name: grid
    for grid in (
        Grid("int4-b32", 4, -8, 7, 32, ScaleFormat.BFLOAT16_IN_FLOAT16, "the 4-bit grid that all three formats share"),
        Grid("int8-b32", 8, -127, 127, 32, ScaleFormat.FLOAT16, "8 bits in blocks, for GGUF Q8_0 and ONNX MatMulNBits"),
        Grid(
            "int8-row", 8, -127, 127, None, ScaleFormat.FLOAT32, "8 bits per output channel, the only 8 bits of XNNPACK"
        ),
        Grid("q4_0", 4, -8, 7, 32, ScaleFormat.FLOAT16, "llama.cpp's own rounding: signed scales, max / -8"),
    )
}

FLOAT32_BITS = 32.0

# float16 has no normal number below 2^-14, bfloat16 and float16 share the exponents from there up to float16's largest.
_SMALLEST_SCALE = np.float32(2.0**-14)
_LARGEST_SCALE = np.float32(65280.0)  # 0xFF · 2^8: the largest float16 with 8 significant bits
# XNNPACK refuses scales that are zero or subnormal; a row this small is zero to every activation.
_SMALLEST_FLOAT32_SCALE = np.float32(2.0**-60)


def grid_named(name: str) -> Grid:
    """The grid of that name; `InputError` lists the known ones."""
    if name not in GRIDS:
        raise unknown_name("grid", name, list(GRIDS))
    return GRIDS[name]


def round_scale(scale: NDArray[np.float32], scale_format: ScaleFormat) -> NDArray[np.float32]:
    """Each scale as the nearest number its format holds, float32 of the same shape (ties to even).

    Formats of positive scales raise what is too small, zero too, to their smallest number (2^-60 in FLOAT32).
    """
    if scale_format is ScaleFormat.FLOAT32:
        return np.maximum(scale.astype(np.float32), _SMALLEST_FLOAT32_SCALE)
    if scale_format is ScaleFormat.FLOAT16:
        return scale.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(scale, dtype=np.float32).view(np.uint32)
    # round-half-to-even on the upper 16 bits: bfloat16's 8 significant bits
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.clip(nearest.astype(np.uint32).view(np.float32), _SMALLEST_SCALE, _LARGEST_SCALE)


def encode(groups: NDArray[np.float32], scales: NDArray[np.float32], grid: Grid) -> NDArray[np.int8]:
    """The nearest codes of `groups` [n, group] under `scales` [n], ties to even, clipped; int8 [n, group]."""
    with np.errstate(divide="ignore"):
        inverse = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
    return np.clip(np.rint(groups * inverse[:, None]), grid.low, grid.high).astype(np.int8)
