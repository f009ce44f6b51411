"""`Scaling`: everything of a quantised weight but its codes, and codes under it, all columns at once or a few."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.codes import decode, nearest_codes
from smolship.quantize.grids.grid import Grid

CHUNK = 1 << 19
"""weights handled at a time: temporaries then stay within the processor's cache and a few megabytes"""


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the codes of a weight [out, in] mean: arrays as in `Blocks`, on `grid`."""

    grid: Grid
    group: int
    """how many columns share a scale"""
    scales: NDArray[np.float32]
    minimums: NDArray[np.float32] | None = None
    super_scales: NDArray[np.float32] | None = None
    super_minimums: NDArray[np.float32] | None = None


def encode_with(columns: NDArray[np.float32], scaling: Scaling, first: int = 0) -> NDArray[np.int8]:
    """The nearest codes of `columns` float32 [out, k], which are the columns from `first` on of the scaled weight.

    A rounder that compensates errors fixes a `Scaling` and encodes a few columns at a time.
    """
    group = scaling.group
    out, count = columns.shape
    if first % group or count % group:
        scales, minimums = _of_columns(scaling, first, count)
        return nearest_codes(columns, scales, scaling.grid, minimums)
    codes = np.empty((out, count // group, group), np.int8)
    groups = columns.reshape(codes.shape)
    at = slice(first // group, (first + count) // group)
    step = max(1, CHUNK // count)
    for start in range(0, out, step):
        rows = slice(start, start + step)
        minimums = None if scaling.minimums is None else scaling.minimums[rows, at, None]
        codes[rows] = nearest_codes(groups[rows], scaling.scales[rows, at, None], scaling.grid, minimums)
    return codes.reshape(out, count)


def decode_with(codes: NDArray[np.int8], scaling: Scaling, first: int = 0) -> NDArray[np.float32]:
    """The weights that `codes` int8 [out, k] stand for as the columns from `first` on; float32 [out, k]."""
    scales, minimums = _of_columns(scaling, first, codes.shape[1])
    return decode(codes, scales, scaling.grid, minimums)


def _of_columns(scaling: Scaling, first: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The scales and minimums of each of `count` columns from `first` on, [out, count]."""
    at = np.arange(first, first + count) // scaling.group
    return scaling.scales[:, at], None if scaling.minimums is None else scaling.minimums[:, at]
