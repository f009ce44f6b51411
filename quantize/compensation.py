"""Error-compensated rounding: each rounding error is made up for by the columns that are not rounded yet.

GPTQ (arXiv 2210.17323) with whole scale units kept together, the units with the largest curvature first, and each
group's scale chosen by trial: under every candidate the group is rounded with compensation, and per row the candidate
whose compensated error is smallest stays. float32 torch on whatever device the weight is on; the factorisation in
float64.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import Grid, Offset, fit, round_scale

TRIALS = 14
"""candidate scales of a group: spaced about 3 to 6 %, below which rounding the scale itself decides"""


@dataclass(frozen=True)
class _Candidates:
    """Scalings of a unit's groups: scales and minimums float32 [trials, out, groups], and super-factors [out, 1]."""

    scales: Tensor
    minimums: Tensor | None = None
    super_scales: Tensor | None = None
    super_minimums: Tensor | None = None


class Compensation:
    """The rounding of one matrix [out, in]."""

    def __init__(self, tensor: str, shape: tuple[int, int], grid: Grid, moment: Tensor, damping: float) -> None:
        """`moment` [in, in] is the weighted second moment of the inputs; each diagonal entry grows by `damping` of it.

        `InputError` names the tensor if the grid's groups do not divide a row.
        """
        out, row = shape
        self.grid = grid
        self.group = grid.group_of(tensor, row)
        self.unit = grid.super_group or self.group
        self.order = _order(moment, self.unit)  # [in], whole units, the columns inside sorted too
        self.factor = _factor(moment, self.order, damping)  # [in, in], upper
        device = moment.device
        self.codes = torch.zeros((out, row), dtype=torch.int8, device=device)
        self.scales = torch.zeros((out, row // self.group), device=device)
        self.minimums = torch.zeros_like(self.scales) if grid.affine else None
        self.supers = torch.zeros((2, out, row // self.unit), device=device) if grid.super_group else None

    def round(self, weight: Tensor) -> Tensor:
        """What `weight` [out, in] is after rounding, on the grid."""
        w = weight[:, self.order]
        for start in range(0, len(self.order), self.unit):
            at = slice(start, start + self.unit)
            rounded, errors = self._round_unit(w[:, at], at)
            w[:, at] = rounded
            w[:, at.stop :] -= errors @ self.factor[at, at.stop :]
        result = torch.empty_like(weight)
        result[:, self.order] = w
        return result

    def blocks(self) -> Blocks:
        """The codes and their scaling, after `round`."""
        supers = (None, None) if self.supers is None else (self.supers[0], self.supers[1])
        lowest = supers[1] if self.grid.affine else None
        arrays = (None if a is None else a.cpu().numpy() for a in (self.minimums, supers[0], lowest))
        return Blocks(self.codes.cpu().numpy(), self.scales.cpu().numpy(), self.grid.name, *arrays)

    def _round_unit(self, w: Tensor, at: slice) -> tuple[Tensor, Tensor]:
        """One unit's columns [out, unit] in order: their rounded values, and the errors over the factor's diagonal."""
        factor = self.factor[at, at]
        columns = self.order[at]
        first, sorting = int(columns.min()), torch.argsort(columns)
        candidates = _candidates(w[:, sorting], self.grid, factor, sorting)
        group_of = (columns - first) // self.group
        codes, errors = _trial(w, candidates, group_of, factor, self.grid)
        best = errors.square().sum(-1).argmin(0)  # [out]
        rows = torch.arange(len(w), device=w.device)
        codes, errors = codes[best, rows], errors[best, rows]
        scales = candidates.scales[best, rows]
        minimums = None if candidates.minimums is None else candidates.minimums[best, rows]
        self._keep(codes, scales, minimums, candidates, columns, first)
        offset = 0 if minimums is None else minimums[:, group_of]
        return _levels(codes, self.grid) * scales[:, group_of] + offset, errors

    def _keep(
        self, codes: Tensor, scales: Tensor, minimums: Tensor | None, found: _Candidates, columns: Tensor, first: int
    ) -> None:
        self.codes[:, columns] = codes.to(torch.int8)
        groups = slice(first // self.group, first // self.group + scales.shape[1])
        self.scales[:, groups] = scales
        if self.minimums is not None and minimums is not None:
            self.minimums[:, groups] = minimums
        if self.supers is not None and found.super_scales is not None:
            self.supers[0, :, first // self.unit] = found.super_scales[:, 0]
            if found.super_minimums is not None:
                self.supers[1, :, first // self.unit] = found.super_minimums[:, 0]


def _order(moment: Tensor, unit: int) -> Tensor:
    """Columns by falling curvature, whole units first among themselves: int64 [in]."""
    diagonal = moment.diagonal().reshape(-1, unit)  # [units, unit]
    inside = diagonal.argsort(dim=1, descending=True, stable=True)
    columns = inside + torch.arange(len(diagonal), device=moment.device)[:, None] * unit
    return columns[diagonal.sum(1).argsort(descending=True, stable=True)].flatten()


def _factor(moment: Tensor, order: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped moment in that order: float32 [in, in]."""
    h = moment[order][:, order].double()
    diagonal = h.diagonal()
    mean = diagonal.mean()
    if mean <= 0:  # nothing was ever read through this matrix: every column counts the same
        h, mean = torch.eye(len(h), dtype=h.dtype, device=h.device), torch.ones_like(mean)
    h.diagonal().mul_(1 + damping).add_(1e-6 * mean)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.float()


def _trial(w: Tensor, candidates: _Candidates, group_of: Tensor, factor: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Codes and errors [trials, out, unit] of rounding w [out, unit] column by column under each candidate."""
    trials = len(candidates.scales)
    work = w.expand(trials, -1, -1).clone()
    codes, errors = torch.empty_like(work), torch.empty_like(work)
    for j in range(w.shape[1]):
        s = candidates.scales[:, :, group_of[j]]
        m = None if candidates.minimums is None else candidates.minimums[:, :, group_of[j]]
        codes[..., j] = nearest(work[..., j], s, m, grid)
        value = _levels(codes[..., j], grid) * s
        errors[..., j] = (work[..., j] - (value if m is None else value + m)) / factor[j, j]
        work[..., j + 1 :] -= errors[..., j, None] * factor[j, j + 1 :]
    return codes, errors


def nearest(w: Tensor, scales: Tensor, minimums: Tensor | None, grid: Grid) -> Tensor:
    """The nearest codes of `w` as float32 whole numbers in its shape; the twin of `grids.nearest_codes` in torch."""
    x = (w if minimums is None else w - minimums) / torch.where(scales == 0, torch.inf, scales)
    if not grid.uneven_levels:
        return x.round().clamp(grid.low, grid.high)
    levels = torch.tensor(grid.levels, dtype=torch.float32, device=w.device)
    return torch.bucketize(x, (levels[1:] + levels[:-1]) / 2, right=True).float()


def _levels(codes: Tensor, grid: Grid) -> Tensor:
    """What codes stand for under a scale of 1, float32."""
    if not grid.uneven_levels:
        return codes
    return torch.tensor(grid.levels, dtype=torch.float32, device=codes.device)[codes.long()]


def _candidates(w: Tensor, grid: Grid, factor: Tensor, sorting: Tensor) -> _Candidates:
    """Scalings to try for w [out, unit], its columns in file order (`sorting` takes the factor's columns there)."""
    if grid.super_group or grid.bits > 6:
        # 8 bits leave nothing to choose; a super-block's factors hang together and are searched by `fit`.
        importance = (1 / factor.diagonal().square())[sorting]
        return _fitted(w, grid, importance)
    if grid.affine:
        return _lines(w, grid)
    largest = w.gather(1, w.abs().argmax(1, keepdim=True))[:, 0]  # [out]
    low, high = -float(grid.levels[0]), float(grid.levels[-1])
    reached = torch.linspace(0.88 * high, 1.375 * low if grid.bits == 4 else 1.2 * low, TRIALS, device=w.device)
    if grid.uneven_levels:
        reached = torch.linspace(0.78 * high, 1.18 * low, TRIALS, device=w.device)
    if grid.signed_scales:
        reached = torch.cat([-reached, reached]) if grid.uneven_levels else -reached
        return _Candidates(_rounded(largest / reached[:, None], grid)[:, :, None])
    return _Candidates(_rounded(largest.abs() / reached[:, None], grid)[:, :, None])


def _lines(w: Tensor, grid: Grid) -> _Candidates:
    """Lines around the middle of each row's range, from narrower to wider ones."""
    low, high = w.amin(1), w.amax(1)
    steps = torch.linspace(0.9, 1.22, TRIALS, device=w.device)[:, None] * (grid.high - grid.low)
    scales = _rounded((high - low) / steps, grid)
    minimums = (high + low) / 2 - scales * (grid.high + grid.low) / 2
    if grid.offset is Offset.ZERO_POINT:
        zero_points = (-minimums / torch.where(scales == 0, 1, scales)).round().clamp(grid.low, grid.high)
        minimums = -zero_points * scales
    else:
        minimums = minimums.half().float()
    return _Candidates(scales[:, :, None], minimums[:, :, None])


def _fitted(w: Tensor, grid: Grid, importance: Tensor) -> _Candidates:
    found = fit(w.cpu().numpy(), grid, importance.cpu().numpy())

    def moved(array: NDArray[np.float32] | None) -> Tensor | None:
        return None if array is None else torch.from_numpy(array).to(w.device)

    minimums = moved(found.minimums)
    return _Candidates(
        torch.from_numpy(found.scales).to(w.device)[None],
        None if minimums is None else minimums[None],
        moved(found.super_scales),
        moved(found.super_minimums),
    )


def _rounded(scales: Tensor, grid: Grid) -> Tensor:
    found = round_scale(np.ascontiguousarray(scales.cpu().numpy()), grid.scale_format)
    return torch.from_numpy(found).to(scales.device)
