"""`Student`: the rounded model, its codes standing still while the groups' scales and the norms' gains move.

Training the scales alone, end to end, is the second half of EfficientQAT (arXiv 2407.11062). Codes are left where
the descent put them: the gradient of a scale sums over its group's 32 weights and can be told from noise on some
thousand tokens, that of one code cannot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING, Architecture
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import Grid, Offset, grid_named, round_scale
from smolship.quantize.solution import Solution
from smolship.reference import Reference


def scales_move(grid: Grid) -> bool:
    """Whether a group's scale on this grid is a number of its own: none of a super-block's, nor of a zero point's."""
    return grid.super_group is None and grid.offset is not Offset.ZERO_POINT


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A rounded matrix on torch's side: `weight = level · scale + minimum`."""

    levels: Tensor
    """[out, groups, group] in the precision of the products"""
    scales: Tensor
    """float32 [out, groups]"""
    minimums: Tensor | None
    """float32 [out, groups, 1]"""

    @classmethod
    def of(cls, blocks: Blocks, device: torch.device, precision: torch.dtype) -> "_Matrix":
        grid = grid_named(blocks.grid)
        levels = np.asarray(grid.levels, np.float32)[blocks.codes.astype(np.int16) - grid.low]
        grouped = torch.from_numpy(levels).to(device, precision).view(len(levels), -1, blocks.group_size)
        minimums = None if blocks.minimums is None else torch.from_numpy(blocks.minimums).to(device)[..., None]
        return cls(grouped, torch.from_numpy(blocks.scales).to(device), minimums)

    def weight(self, factors: Tensor) -> Tensor:
        """[out, in] in the precision of the products, under scales that have grown by `factors` [out · groups]."""
        scales = (self.scales * factors.view_as(self.scales))[..., None]
        if self.minimums is None:
            return (self.levels * scales.to(self.levels.dtype)).flatten(1)
        # what cancels is taken in float32
        return (self.levels * scales + self.minimums).to(self.levels.dtype).flatten(1)


class Student:
    """What is trained: `logs`, by which power of e each movable scale and each gain has grown, float32 [parameters]."""

    def __init__(
        self, architecture: Architecture, solution: Solution, weights: Mapping[str, Tensor], precision: torch.dtype
    ) -> None:
        """`weights` float32: every tensor as calibration left it; those that `solution` has blocks of are not used.

        Products will be in `precision`.
        """
        device = weights[EMBEDDING].device
        self._architecture, self._solution = architecture, solution
        self._gains = {name: w for name, w in weights.items() if w.ndim == 1}
        self._matrices: dict[str, _Matrix] = {}
        self._fixed: dict[str, Tensor] = {}
        for name, w in weights.items():
            blocks = solution.blocks.get(name)
            if blocks is not None and scales_move(grid_named(blocks.grid)):
                self._matrices[name] = _Matrix.of(blocks, device, precision)
            elif w.ndim == 2:
                fixed = w if blocks is None else torch.from_numpy(blocks.dequantize()).to(device)
                self._fixed[name] = fixed if name == EMBEDDING else fixed.to(precision)
        moved = {**{name: matrix.scales for name, matrix in self._matrices.items()}, **self._gains}
        self._sizes = {name: start.numel() for name, start in moved.items()}
        self.logs = torch.zeros(sum(self._sizes.values()), device=device, requires_grad=True)

    @property
    def trains_head(self) -> bool:
        """Whether the gradient at the head is wanted."""
        return self._architecture.head in self._matrices

    def model(self) -> Reference:
        """The model as it is now, differentiable in `logs`: matrices in the precision, gains float32.

        So are the embedding, and a head that is trained, whose gradient comes in float32.
        """
        factors = self._factors(self.logs)
        weights = {name: matrix.weight(factors[name]) for name, matrix in self._matrices.items()}
        for name in {EMBEDDING, self._architecture.head} & weights.keys():
            weights[name] = weights[name].float()
        gains = {name: gain * factors[name] for name, gain in self._gains.items()}
        return Reference(self._architecture, {**self._fixed, **weights, **gains})

    def solution(self) -> Solution:
        """The blocks with the scales of now, rounded as their grids' are, and the gains of now."""
        factors = {name: of.cpu().numpy() for name, of in self._factors(self.logs.detach()).items()}
        blocks = dict(self._solution.blocks)
        for name in self._matrices:
            grown = blocks[name].scales * factors[name].reshape(blocks[name].scales.shape)
            scales = round_scale(np.ascontiguousarray(grown), grid_named(blocks[name].grid).scale_format)
            blocks[name] = replace(blocks[name], scales=scales)
        gains = {name: gain.cpu().numpy() * factors[name] for name, gain in self._gains.items()}
        return replace(self._solution, blocks=blocks, floats={**self._solution.floats, **gains})

    def _factors(self, logs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self._sizes, logs.exp().split(list(self._sizes.values())), strict=True))
