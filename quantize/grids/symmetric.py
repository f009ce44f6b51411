"""Scales without minimums: the search for each group's scale with the least squared error, even or uneven levels.

The search tries scales that put the group's largest magnitude on different levels, takes the least-squares scale of
the best codes (`Σwq / Σq²`), and keeps whichever gives the smallest error after rounding the scale itself to the
grid's format. The same idea as `make_qx_quants` in llama.cpp's ggml-quants.c.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.codes import decode, encode
from smolship.quantize.grids.grid import Grid
from smolship.quantize.grids.scales import round_scale
from smolship.quantize.grids.scaling import Scaling
from smolship.quantize.grids.sums import Importance, ratio, weighted_dot


def fit_symmetric(groups: NDArray[np.float32], grid: Grid, importance: Importance) -> Scaling:
    """The best scales of `groups` [n, g] over the candidates: [n, 1]."""
    scales = search_scales(groups, grid, importance, exact=False)
    return Scaling(grid, groups.shape[1], scales[:, None])


def search_scales(
    groups: NDArray[np.float32], grid: Grid, importance: Importance, *, exact: bool
) -> NDArray[np.float32]:
    """The best scale of each of `groups` [n, g], float32 [n]: in the grid's format, or `exact` ones of any float32."""
    best_error = np.full(len(groups), np.inf, np.float32)
    best_scale = np.zeros(len(groups), np.float32)

    def consider(candidate: NDArray[np.float32]) -> None:
        scales = candidate if exact else round_scale(candidate, grid.scale_format)
        codes = encode(groups, scales, grid)
        residual = groups - decode(codes, scales[:, None], grid)
        error = weighted_dot(residual, residual, importance)
        better = error < best_error
        best_error[better] = error[better]
        best_scale[better] = scales[better]

    peak = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)[:, 0]
    if not grid.signed_scales:
        peak = np.abs(peak)
    for level in _levels_of_the_peak(grid):
        consider(peak / np.float32(level))
    for _ in range(2):
        codes = encode(groups, best_scale, grid)
        q = decode(codes, np.ones((1, 1), np.float32), grid)
        consider(ratio(weighted_dot(groups, q, importance), weighted_dot(q, q, importance), best_scale))
    return best_scale


def _levels_of_the_peak(grid: Grid) -> NDArray[np.float64]:
    """Levels on which the largest magnitude may fall: past the last one it clips and the small weights gain.

    With signed scales the largest magnitude may fall on either end, so levels of both signs are given.
    """
    low, high = float(grid.levels[0]), float(grid.levels[-1])
    if grid.bits > 6:
        found = np.linspace(high * 0.98, high * 1.02, 5)
    elif grid.uneven_levels:
        found = np.linspace(high * 0.84, -low * 1.12, 13)
    else:
        found = np.arange(high - 1.0, -low + 3.01, 0.25 if grid.bits == 4 else 0.5)
    return np.concatenate([found, -found]) if grid.signed_scales else found
