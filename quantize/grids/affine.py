"""Scales and minimums: for each group the line `w ≈ s · q + m` with the least squared error.

The search cuts off a little of either end of a group's range, takes the codes there, and the least-squares line
through them; the best line is then refined by turns of new codes and a new line. The same idea as `make_qkx3_quants`
in llama.cpp's ggml-quants.c, which cuts off both ends alike.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.codes import decode, encode
from smolship.quantize.grids.grid import Grid
from smolship.quantize.grids.scales import round_scale
from smolship.quantize.grids.scaling import Scaling
from smolship.quantize.grids.sums import Importance, ratio, weighted_dot, weighted_sum

_CUTS = (-0.03, 0.0, 0.04, 0.08, 0.13)
"""parts of the range that are cut off at an end; a negative one leaves room beyond it"""

Line = tuple[NDArray[np.float32], NDArray[np.float32]]
"""scales and minimums, [n] each"""


def fit_minimums(groups: NDArray[np.float32], grid: Grid, importance: Importance) -> Scaling:
    """The best float16 scales and minimums of `groups` [n, g]: [n, 1] each."""
    s, m = search_lines(groups, grid, importance, exact=False)
    return Scaling(grid, groups.shape[1], s[:, None], m[:, None])


def fit_zero_points(groups: NDArray[np.float32], grid: Grid, importance: Importance) -> Scaling:
    """The best float16 scales of `groups` [n, g] and their integer zero points, as minimums: [n, 1] each."""
    best = _Best(groups, grid, importance)
    low, width = _range(groups)
    for below, above in product(_CUTS, _CUTS):
        s = round_scale(width * np.float32((1 - below - above) / grid.high), grid.scale_format)
        best.consider(s, -_zero_point(low + np.float32(below) * width, s, grid) * s)
    for _ in range(2):
        s, m = best.line
        z = ratio(-m, s, np.zeros_like(s))
        for step in (-1, 0, 1):
            moved = np.clip(np.rint(z) + np.float32(step), grid.low, grid.high)
            q = encode(groups, s, grid, -moved * s) - moved[:, None]
            fitted = ratio(weighted_dot(groups, q, importance), weighted_dot(q, q, importance), s)
            rounded = round_scale(fitted, grid.scale_format)
            best.consider(rounded, -moved * rounded)
    s, m = best.line
    return Scaling(grid, groups.shape[1], s[:, None], m[:, None])


def search_lines(groups: NDArray[np.float32], grid: Grid, importance: Importance, *, exact: bool) -> Line:
    """The best scale and minimum of each of `groups` [n, g]: float16 ones, or `exact` ones of any float32.

    The minimums of super-blocks are never positive.
    """
    low, width = _range(groups)
    if grid.super_group:
        low, width = np.minimum(low, 0), np.maximum(width, width + low)
    best = _Best(groups, grid, importance)

    def consider(s: NDArray[np.float32], m: NDArray[np.float32]) -> None:
        if not exact:
            s, m = round_scale(s, grid.scale_format), round_scale(m, grid.scale_format)
        best.consider(s, m)

    for below, above in product(_CUTS, _CUTS):
        s = width * np.float32((1 - below - above) / grid.high)
        consider(*_line_through(groups, encode(groups, s, grid, low + np.float32(below) * width), grid, importance))
    for _ in range(3):
        consider(*_line_through(groups, encode(groups, best.scale, grid, best.minimum), grid, importance))
    return best.line


class _Best:
    """The best line so far of each group."""

    def __init__(self, groups: NDArray[np.float32], grid: Grid, importance: Importance) -> None:
        self._groups, self._grid, self._importance = groups, grid, importance
        self._error = np.full(len(groups), np.inf, np.float32)
        self.scale = np.zeros(len(groups), np.float32)
        self.minimum = np.zeros(len(groups), np.float32)

    @property
    def line(self) -> Line:
        return self.scale, self.minimum

    def consider(self, s: NDArray[np.float32], m: NDArray[np.float32]) -> None:
        codes = encode(self._groups, s, self._grid, m)
        residual = self._groups - decode(codes, s[:, None], self._grid, m[:, None])
        error = weighted_dot(residual, residual, self._importance)
        better = error < self._error
        self._error[better], self.scale[better], self.minimum[better] = error[better], s[better], m[better]


def _range(groups: NDArray[np.float32]) -> Line:
    """The smallest weight of each group and how far up the largest is."""
    low = groups.min(axis=1)
    return low, groups.max(axis=1) - low


def _zero_point(low: NDArray[np.float32], s: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    return np.clip(np.rint(ratio(-low, s, np.zeros_like(s))), grid.low, grid.high)


def _line_through(groups: NDArray[np.float32], codes: NDArray[np.int8], grid: Grid, importance: Importance) -> Line:
    """The least-squares scale and minimum of given codes [n, g]; a flat group's is its mean."""
    q = codes.astype(np.float32)
    count = np.float32(groups.shape[1]) if importance is None else importance.sum(axis=1)
    w_mean = weighted_sum(groups, importance) / count
    q_mean = weighted_sum(q, importance) / count
    centred = q - q_mean[:, None]
    slope = ratio(
        weighted_dot(centred, groups, importance), weighted_dot(centred, centred, importance), np.zeros_like(w_mean)
    )
    m = w_mean - slope * q_mean
    if not grid.super_group:
        return slope, m
    through_zero = ratio(weighted_dot(q, groups, importance), weighted_dot(q, q, importance), np.zeros_like(w_mean))
    s = np.where(m > 0, through_zero, slope)
    return np.maximum(s, 0), np.minimum(m, 0)
