"""How a weight finds its codes and scales on a grid: one `Rounding` per way, chosen by the recipe."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.quantize.blocks import Blocks, blocks_of
from smolship.quantize.grids import Grid, encode_with, fit, round_scale


class Rounding(Protocol):
    """A way to round one weight by itself; calibrated codes come from `solving.solve`."""

    def round(self, tensor: str, weight: NDArray[np.float32], grid: Grid) -> Blocks:
        """`weight` float32 [out, in] on `grid`; `InputError` names the tensor if a group does not divide a row."""
        ...


class NearestRounding:
    """Round to nearest on any grid, each group's scale (and minimum) searched for the least squared error (`fit`)."""

    def round(
        self, tensor: str, weight: NDArray[np.float32], grid: Grid, importance: NDArray[np.float32] | None = None
    ) -> Blocks:
        """See `Rounding.round`; errors count by `importance` ≥ 0, float32 [in] or [out, in], where it is given."""
        scaling = fit(weight, grid, importance, tensor)
        return blocks_of(encode_with(weight, scaling), scaling)


class LlamaCppRounding:
    """llama.cpp's `quantize_row_*_ref` of the simple types: scales from the largest magnitude or the range alone.

    Source: ggml/src/ggml-quants.c. Byte-identical with the C library (a test compares them).
    """

    def round(self, tensor: str, weight: NDArray[np.float32], grid: Grid) -> Blocks:
        """See `Rounding.round`; codes are found with the unrounded scale, as in C."""
        if grid.name not in _REFERENCES:
            raise InputError(
                f"{tensor}: llama.cpp's own rounding is for the grids {', '.join(_REFERENCES)}, not for {grid.name}"
            )
        size = grid.group_of(tensor, weight.shape[1])
        groups = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, size)
        codes, d, minimums = _REFERENCES[grid.name](groups, grid)
        parts = len(weight), -1
        return Blocks(
            codes.reshape(weight.shape),
            round_scale(d, grid.scale_format).reshape(parts),
            grid.name,
            None if minimums is None else round_scale(minimums, grid.scale_format).reshape(parts),
        )


ROUNDINGS: dict[str, Rounding] = {
    "nearest": NearestRounding(),
    "llama.cpp": LlamaCppRounding(),
}


def needs_calibration(grid: Grid) -> bool:
    """Whether a calibrated recipe calibrates the codes on this grid: from 8 bits, nearest loses next to nothing."""
    return grid.bits < 8


Reference = tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32] | None]
"""codes int8 [n, g], unrounded scales [n] and minimums [n]"""


def _largest_on_low(groups: NDArray[np.float32], grid: Grid) -> Reference:
    """`quantize_row_q4_0_ref`, `_q5_0_ref`: the largest magnitude falls on `low`, so the scale has a sign."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1, keepdims=True), axis=1)[:, 0]
    d = (largest + np.float32(0)) / np.float32(grid.low)  # C starts from +0, which no -0 exceeds
    unsigned = np.trunc(groups * _inverse(d)[:, None] + np.float32(0.5 - grid.low))
    return (np.minimum(unsigned, grid.high - grid.low) + grid.low).astype(np.int8), d, None


def _range_on_codes(groups: NDArray[np.float32], grid: Grid) -> Reference:
    """`quantize_row_q4_1_ref`, `_q5_1_ref`: the smallest weight is code 0, the largest the last one."""
    low = groups.min(axis=1)
    d = (groups.max(axis=1) - low) / np.float32(grid.high)
    codes = np.trunc((groups - low[:, None]) * _inverse(d)[:, None] + np.float32(0.5))
    return np.minimum(codes, grid.high).astype(np.int8), d, low


def _largest_on_high(groups: NDArray[np.float32], grid: Grid) -> Reference:
    """`quantize_row_q8_0_ref`: ties are rounded away from zero, as C's `roundf` does."""
    d = np.abs(groups).max(axis=1) / np.float32(grid.high)
    x = groups * _inverse(d)[:, None]
    whole = np.trunc(x)
    return (whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), 0)).astype(np.int8), d, None


_REFERENCES: dict[str, Callable[[NDArray[np.float32], Grid], Reference]] = {
    "q4_0": _largest_on_low,
    "q4_1": _range_on_codes,
    "q5_0": _largest_on_low,
    "q5_1": _range_on_codes,
    "int8-b32": _largest_on_high,
}


def _inverse(d: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d).astype(np.float32)
