"""Coordinate descent on codes and scales: errors that make up for one another in what the model says.

From rounding to nearest, each code in turn becomes the best one with all others as they are, then each group's scale
likewise, so that `½·Σ e A eᵀ` over the rows e of the error only falls (QuantEase, arXiv 2309.01885; scales: COMQ, arXiv
2403.07134). A is the inputs' weighted second moment with its diagonal raised, much at first and less from pass to pass:
so large correlations are settled before small ones, and the minimum is lower than from either end. GPTQ (arXiv
2210.17323), which decides on every code once, leaves a fifth more. float32 torch on whatever device the weight is on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
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
    (found,) = calibrated_together([tensor], weight[None], grid, moment[None])
    return found


def calibrated_together(tensors: Sequence[str], weights: Tensor, grid: str, moments: Tensor) -> list[Blocks]:
    """The same for several weights [n, out, in] and their moments [n, in, in], in fewer and larger steps."""
    rounding, chosen = NearestRounding(), grid_named(grid)
    starts = [
        rounding.round(tensor, weight.cpu().numpy(), chosen) for tensor, weight in zip(tensors, weights, strict=True)
    ]
    return descend(starts, weights, moments)


def descend(
    starts: Sequence[Blocks], weights: Tensor, moments: Tensor, dampings: tuple[float, ...] = DAMPINGS
) -> list[Blocks]:
    """Codes (and scales, on grids where a scale can move alone) of smaller errors than those of `starts`.

    `weights` float32 [n, out, in], `moments` float32 [n, in, in], positive semidefinite; one pass for each of
    `dampings`. The weights have nothing to do with one another but their shape and grid.
    """
    found = _Codes.of(starts, weights.device)
    group = weights.shape[2] // found.scales.shape[2]
    for damping in dampings:
        curvature = damped(moments, damping)
        slope = (found.values() - weights) @ curvature  # [n, out, in], kept as codes change
        for index in range(found.scales.shape[2]):
            at = slice(index * group, index * group + group)
            change = _descend_group(found, index, at, slope[..., at], curvature[:, at, at])
            slope.baddbmm_(change, curvature[:, at])
    return found.blocks(starts)


def damped(moments: Tensor, damping: float) -> Tensor:
    """The moments [..., in, in] with every diagonal entry grown by `damping` of it: positive definite, float32."""
    curvature = moments.clone()
    diagonal = curvature.diagonal(dim1=-2, dim2=-1)
    mean = diagonal.mean(-1, keepdim=True)
    diagonal.mul_(1 + damping).add_(1e-6 * mean)
    never_read = mean[..., 0] <= 0  # every column counts the same
    curvature[never_read] = torch.eye(moments.shape[-1], device=moments.device)
    return curvature


@dataclass(eq=False)
class _Codes:
    """Matrices of one shape on their way, decoded as `scale · level(code) + minimum`."""

    grid: Grid
    codes: Tensor
    """whole numbers, float32 [n, out, in]"""
    scales: Tensor
    """float32 [n, out, groups]"""
    minimums: Tensor | None
    """float32 [n, out, groups]"""

    @classmethod
    def of(cls, starts: Sequence[Blocks], device: torch.device) -> "_Codes":
        def there(name: str) -> Tensor:
            return torch.stack([torch.from_numpy(getattr(each, name)).to(device, torch.float32) for each in starts])

        minimums = None if starts[0].minimums is None else there("minimums")
        return cls(grid_named(starts[0].grid), there("codes"), there("scales"), minimums)

    def values(self) -> Tensor:
        group = self.codes.shape[-1] // self.scales.shape[-1]
        values = _levels(self.codes, self.grid) * self.scales.repeat_interleave(group, -1)
        return values if self.minimums is None else values + self.minimums.repeat_interleave(group, -1)

    def blocks(self, starts: Sequence[Blocks]) -> list[Blocks]:
        codes, scales = self.codes.to(torch.int8).cpu().numpy(), self.scales.cpu().numpy()
        return [
            replace(start, codes=codes[index].copy(), scales=scales[index].copy()) for index, start in enumerate(starts)
        ]


def _descend_group(found: _Codes, index: int, at: slice, slope: Tensor, curvature: Tensor) -> Tensor:
    """One group's codes and scales, in place; returns by how much its values change, [n, out, group]."""
    grid, codes, scales = found.grid, found.codes[..., at], found.scales[..., index]
    minimums = None if found.minimums is None else found.minimums[..., index]
    before = _levels(codes, grid) * scales[..., None]  # without minimums, which stay
    new = _better_codes(codes, slope, curvature, scales, minimums, grid)
    levels = _levels(new, grid)
    if not grid.affine and not grid.super_group:
        slope = slope.baddbmm(levels * scales[..., None] - before, curvature)
        scales = _better_scales(levels, scales, slope, curvature, grid)
    found.codes[..., at], found.scales[..., index] = new, scales
    return levels * scales[..., None] - before


def _better_codes(
    codes: Tensor, slope: Tensor, curvature: Tensor, scales: Tensor, minimums: Tensor | None, grid: Grid
) -> Tensor:
    """One code of each row [n, out, group] after the other, the best with all others as they are."""
    # A column's numbers lie together, and what a column has behind it is not looked at again.
    columns, slopes = (each.movedim(-1, 0).contiguous() for each in (codes, slope))  # [group, n, out]
    bends = curvature.movedim(0, -1)[..., None]  # [group, group, n, 1]
    for j, column in enumerate(columns):
        now = _levels(column, grid) * scales
        wanted = now - slopes[j] / bends[j, j]
        column.copy_(nearest(wanted if minimums is None else wanted + minimums, scales, minimums, grid))
        slopes[j + 1 :].addcmul_(bends[j, j + 1 :], _levels(column, grid) * scales - now)
    return columns.movedim(0, -1)


def _better_scales(units: Tensor, scales: Tensor, slope: Tensor, curvature: Tensor, grid: Grid) -> Tensor:
    """Each row's best scale [n, out] for levels [n, out, group], on the grid's format, unless the old is better."""
    down = (slope * units).sum(-1)
    bend = ((units @ curvature) * units).sum(-1)
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
