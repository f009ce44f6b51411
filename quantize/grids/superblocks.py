"""Super-blocks: the scales (and minimums) of 256 weights are small integers times one float16.

First each group gets the best scale of its own. The super-scale spans them, and then by turns each group's integers
move to their best neighbours and the super-scale to its least-squares value. The layout and the idea are those of
llama.cpp's K-quants (`quantize_row_q4_K_impl`, `quantize_row_q6_K_impl` in ggml-quants.c).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.affine import search_lines
from smolship.quantize.grids.codes import decode, encode
from smolship.quantize.grids.grid import Grid
from smolship.quantize.grids.scales import round_scale
from smolship.quantize.grids.scaling import Scaling
from smolship.quantize.grids.sums import Importance, weighted_dot
from smolship.quantize.grids.symmetric import search_scales

_TURNS = 2
_SMALLEST = np.float32(2.0**-24)
"""the smallest float16 above zero: a super-scale below it would make the whole super-block zero"""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Factors:
    """The integers of each group, float32 [groups], under the super-factors of its super-block, [groups] too."""

    d: Array
    k: Array
    dm: Array
    km: Array
    """d · k is the scale, -dm · km the minimum; without minimums dm and km are zero"""

    def scales(self) -> Array:
        return self.d * self.k

    def minimums(self, grid: Grid) -> Array | None:
        return -self.dm * self.km if grid.affine else None


def fit_super(units: Array, grid: Grid, importance: Importance) -> Scaling:
    """The scaling of super-blocks [n, 256] as rows: scales [n, 256/g], super-scales [n, 1], minimums alike."""
    size = grid.group_size or units.shape[1]
    groups, weights = units.reshape(-1, size), None if importance is None else importance.reshape(-1, size)
    each = units.shape[1] // size  # groups of a super-block
    s, m = _alone(groups, grid, weights)
    d, dm = _span(s.reshape(-1, each), grid), _span(-m.reshape(-1, each), grid)
    start = _nearest_factors(s, m, d.repeat(each), dm.repeat(each), grid)
    best, least = _neighbours(groups, grid, weights, start)
    for _ in range(_TURNS):
        d, dm = _least_squares(groups, grid, weights, best, each)
        start = _nearest_factors(best.scales(), -best.dm * best.km, d.repeat(each), dm.repeat(each), grid)
        found, error = _neighbours(groups, grid, weights, start)
        better = (_totals(error, each) < _totals(least, each)).repeat(each)
        best, least = _merge(better, found, best), np.where(better, error, least)
    minimums = best.minimums(grid)
    return Scaling(
        grid,
        size,
        best.scales().reshape(-1, each),
        None if minimums is None else minimums.reshape(-1, each),
        best.d[::each, None],
        best.dm[::each, None] if grid.affine else None,
    )


def _alone(groups: Array, grid: Grid, importance: Importance) -> tuple[Array, Array]:
    """The scales and minimums that each group would have if it could have any."""
    if grid.affine:
        return search_lines(groups, grid, importance, exact=True)
    s = search_scales(groups, grid, importance, exact=True)
    return s, np.zeros_like(s)


def _span(values: Array, grid: Grid) -> Array:
    """The super-scale [n] under which the largest of `values` [n, k] has the outermost factor."""
    peak = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)[:, 0]
    return _representable(peak / np.float32(grid.factor_low or grid.factor_high), grid)


def _representable(d: Array, grid: Grid) -> Array:
    rounded = round_scale(d, grid.scale_format)
    return np.where((rounded == 0) & (d != 0), np.copysign(_SMALLEST, d), rounded).astype(np.float32)


def _nearest_factors(s: Array, m: Array, d: Array, dm: Array, grid: Grid) -> _Factors:
    """The integers that come nearest to scales and minimums under super-factors."""
    nothing = np.zeros_like(s)
    k = np.rint(np.divide(s, d, out=nothing.copy(), where=d != 0))
    km = np.rint(np.divide(-m, dm, out=nothing.copy(), where=dm != 0))
    return _Factors(d, np.clip(k, grid.factor_low, grid.factor_high), dm, np.clip(km, 0, grid.factor_high))


def _neighbours(groups: Array, grid: Grid, importance: Importance, start: _Factors) -> tuple[_Factors, Array]:
    """The best integers within one of `start`'s, and the error [groups] that they leave."""
    best, least = start, np.full(len(groups), np.inf, np.float32)
    steps = (0, -1, 1)
    for step, step_m in product(steps, steps if grid.affine else (0,)):
        k = np.clip(start.k + np.float32(step), grid.factor_low, grid.factor_high)
        km = np.clip(start.km + np.float32(step_m), 0, grid.factor_high)
        tried = _Factors(start.d, k, start.dm, km)
        residual = groups - _decoded(groups, grid, tried)
        error = weighted_dot(residual, residual, importance)
        best = _merge(error < least, tried, best)
        least = np.minimum(error, least)
    return best, least


def _codes(groups: Array, grid: Grid, factors: _Factors) -> NDArray[np.int8]:
    return encode(groups, factors.scales(), grid, factors.minimums(grid))


def _decoded(groups: Array, grid: Grid, factors: _Factors) -> Array:
    minimums = factors.minimums(grid)
    return decode(
        _codes(groups, grid, factors),
        factors.scales()[:, None],
        grid,
        None if minimums is None else minimums[:, None],
    )


def _merge(take: NDArray[np.bool_], new: _Factors, old: _Factors) -> _Factors:
    pairs = ((new.d, old.d), (new.k, old.k), (new.dm, old.dm), (new.km, old.km))
    return _Factors(*(np.where(take, a, b) for a, b in pairs))


def _least_squares(
    groups: Array, grid: Grid, importance: Importance, factors: _Factors, each: int
) -> tuple[Array, Array]:
    """The super-factors [n] that fit the super-blocks best with these codes and integers: `w ≈ d · kq - dm · km`."""
    kq = _codes(groups, grid, factors) * factors.k[:, None]
    km = np.broadcast_to(factors.km[:, None], groups.shape)

    def total(a: Array, b: Array) -> NDArray[np.float64]:
        return _totals(weighted_dot(a, b, importance), each)

    aa, ab, bb, aw, bw = total(kq, kq), total(kq, km), total(km, km), total(kq, groups), total(km, groups)
    determinant = aa * bb - ab * ab
    whole = determinant > 1e-6 * aa * bb
    below = np.where(whole, determinant, 1)
    d = np.where(whole, (aw * bb - bw * ab) / below, aw / np.where(aa > 0, aa, 1))
    dm = np.where(whole, (aw * ab - bw * aa) / below, factors.dm[::each])
    good = (aa > 0) & (dm >= 0)
    d = np.where(good, d, factors.d[::each]).astype(np.float32)
    dm = np.where(good, dm, factors.dm[::each]).astype(np.float32)
    return _representable(d, grid), _representable(dm, grid)


def _totals(of_groups: Array, each: int) -> NDArray[np.float64]:
    """Sums over the `each` groups of every super-block: [n · each] to [n]."""
    return np.asarray(of_groups.reshape(-1, each).sum(axis=1, dtype=np.float64))
