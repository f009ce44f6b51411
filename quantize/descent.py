"""Coordinate descent on codes and scales: errors that make up for one another in what the model says.

From rounding to nearest, each code in turn becomes the best one with all others as they are, then each group's scale
likewise, so that `½·Σ e A eᵀ` over the rows e of the error only falls (QuantEase, arXiv 2309.01885; scales: COMQ, arXiv
2403.07134). A is the inputs' weighted second moment with its diagonal raised, much at first and less from pass to pass:
so large correlations are settled before small ones, and the minimum is lower than from either end. GPTQ (arXiv
2210.17323), which decides on every code once, leaves a fifth more. float32 torch on whatever device the weight is on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import Grid, grid_named, round_scale
from smolship.quantize.rounding import NearestRounding

DAMPINGS = (10.0, 3.0, 1.0, 0.3, 0.3, 0.3)
"""one for each pass: by what share of itself a diagonal entry of the moment grows"""
_FARTHEST = 0.1
"""of itself: how far a scale goes in one pass"""


def calibrated(tensor: str, weight: Tensor, grid: str, moment: Tensor) -> Blocks:
    """`weight` [out, in] on the grid of that name under the `moment` [in, in] of its inputs.

    `InputError` names the tensor if the grid's groups do not divide a row.
    """
    return descend(NearestRounding().round(tensor, weight.cpu().numpy(), grid_named(grid)), weight, moment)


def descend(start: Blocks, weight: Tensor, moment: Tensor, dampings: tuple[float, ...] = DAMPINGS) -> Blocks:
    """Codes (and scales, on grids where a scale can move alone) of a smaller error than `start`'s.

    `weight` float32 [out, in], `moment` float32 [in, in], positive semidefinite; one pass for each of `dampings`.
    """
    found = _Codes.of(start, weight.device)
    group = weight.shape[1] // found.scales.shape[1]
    for damping in dampings:
        curvature = damped(moment, damping)
        slope = (found.values() - weight) @ curvature  # [out, in], kept as codes change
        for index in range(found.scales.shape[1]):
            at = slice(index * group, index * group + group)
            change = _descend_group(found, index, at, slope[:, at].clone(), curvature[at, at])
            slope += change @ curvature[at]
    return found.blocks(start)


def damped(moment: Tensor, damping: float) -> Tensor:
    """The moment with every diagonal entry grown by `damping` of it: positive definite, float32 [in, in]."""
    curvature = moment.clone()
    diagonal = curvature.diagonal()
    mean = diagonal.mean()
    if mean <= 0:  # nothing was ever read through this matrix: every column counts the same
        return torch.eye(len(moment), device=moment.device)
    diagonal.mul_(1 + damping).add_(1e-6 * mean)
    return curvature


@dataclass(eq=False)
class _Codes:
    """One matrix on its way, decoded as `scale · level(code) + minimum`."""

    grid: Grid
    codes: Tensor
    """whole numbers, float32 [out, in]"""
    scales: Tensor
    """float32 [out, groups]"""
    minimums: Tensor | None
    """float32 [out, groups]"""

    @classmethod
    def of(cls, blocks: Blocks, device: torch.device) -> "_Codes":
        def there(array: NDArray[Any]) -> Tensor:
            return torch.tensor(array, dtype=torch.float32, device=device)

        minimums = None if blocks.minimums is None else there(blocks.minimums)
        return cls(grid_named(blocks.grid), there(blocks.codes), there(blocks.scales), minimums)

    def values(self) -> Tensor:
        group = self.codes.shape[1] // self.scales.shape[1]
        values = _levels(self.codes, self.grid) * self.scales.repeat_interleave(group, 1)
        return values if self.minimums is None else values + self.minimums.repeat_interleave(group, 1)

    def blocks(self, start: Blocks) -> Blocks:
        codes, scales = self.codes.to(torch.int8).cpu().numpy(), self.scales.cpu().numpy()
        return Blocks(codes, scales, start.grid, start.minimums, start.super_scales, start.super_minimums)


def _descend_group(found: _Codes, index: int, at: slice, slope: Tensor, curvature: Tensor) -> Tensor:
    """One group's codes and scale, in place; returns by how much its values change, [out, group]."""
    grid, codes, scales = found.grid, found.codes[:, at], found.scales[:, index]
    minimums = None if found.minimums is None else found.minimums[:, index]
    before = _levels(codes, grid) * scales[:, None]  # without minimums, which stay
    for j in range(codes.shape[1]):
        now = _levels(codes[:, j], grid) * scales
        wanted = now - slope[:, j] / curvature[j, j]
        codes[:, j] = nearest(wanted if minimums is None else wanted + minimums, scales, minimums, grid)
        slope += (_levels(codes[:, j], grid) * scales - now)[:, None] * curvature[j]
    if not grid.affine and not grid.super_group:
        found.scales[:, index] = _better_scales(_levels(codes, grid), scales, slope, curvature, grid)
    return _levels(codes, grid) * found.scales[:, index, None] - before


def _better_scales(units: Tensor, scales: Tensor, slope: Tensor, curvature: Tensor, grid: Grid) -> Tensor:
    """Each row's best scale [out] for levels [out, group], rounded as the grid's are; the old one if that is worse."""
    down = (slope * units).sum(1)
    bend = ((units @ curvature) * units).sum(1)
    most = _FARTHEST * scales.abs()
    step = torch.where(bend > 0, -down / bend.clamp_min(1e-30), 0).clamp(-most, most)
    rounded = round_scale(np.ascontiguousarray((scales + step).cpu().numpy()), grid.scale_format)
    step = torch.from_numpy(rounded).to(scales.device) - scales
    return torch.where(down * step + 0.5 * bend * step.square() < 0, scales + step, scales)


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
