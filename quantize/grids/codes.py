"""Codes from weights and weights from codes, under scales and minimums that are given: pure and elementwise."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.grid import Grid


def encode(
    groups: NDArray[np.float32], scales: NDArray[np.float32], grid: Grid, minimums: NDArray[np.float32] | None = None
) -> NDArray[np.int8]:
    """The nearest codes of `groups` [n, group] under `scales` and `minimums` [n], clipped; int8 [n, group]."""
    return nearest_codes(groups, scales[:, None], grid, None if minimums is None else minimums[:, None])


def nearest_codes(
    weights: NDArray[np.float32], scales: NDArray[np.float32], grid: Grid, minimums: NDArray[np.float32] | None = None
) -> NDArray[np.int8]:
    """The nearest codes, clipped to the grid, int8 in the shape of `weights`; scales and minimums broadcast to it.

    Ties go to the even code, between uneven levels to the upper one. Under a scale of zero every code is the one
    whose level is nearest to zero.
    """
    with np.errstate(divide="ignore"):
        inverse = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
    x = (weights if minimums is None else weights - minimums) * inverse
    if not grid.uneven_levels:
        return np.clip(np.rint(x), grid.low, grid.high).astype(np.int8)
    first, table = _thresholds(grid.uneven_levels)
    # Midpoints between integers are multiples of a half: which level is nearest changes only at whole numbers of 2x.
    doubled = np.clip(np.floor(x * np.float32(2)) - first, 0, len(table) - 1)
    return np.asarray(table[doubled.astype(np.int16)])


def decode(
    codes: NDArray[np.int8], scales: NDArray[np.float32], grid: Grid, minimums: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """`scale · level(code) + minimum` in float32, as the runtimes compute it; scales and minimums broadcast to codes.

    The products are exact in float32 on every grid but those with float32 scales, so that only the sum is rounded:
    a runtime that fuses both gets the same numbers.
    """
    if grid.uneven_levels:
        weights = np.array(grid.levels, np.float32)[codes] * scales
    else:
        weights = codes.astype(np.float32) * scales
    return weights if minimums is None else weights + minimums


@cache
def _thresholds(levels: tuple[int, ...]) -> tuple[int, NDArray[np.int8]]:
    """`first`, and the nearest level's index for each whole number from `first` up in `floor(2x)`; ties go up."""
    first = 2 * levels[0]
    middles = np.array(levels[1:]) + np.array(levels[:-1])  # twice the midpoints
    return first, np.searchsorted(middles, np.arange(first, 2 * levels[-1] + 1), side="right").astype(np.int8)
