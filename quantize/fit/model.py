"""Models with a grid for each tensor: the fitted one, and a stand-in that is only as large."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from smolship.errors import InputError
from smolship.quantize.blocks import Blocks
from smolship.quantize.formats import FORMAT_GRIDS
from smolship.quantize.grids import Grid, grid_named, round_scale
from smolship.quantize.model import QuantizedModel


@dataclass(frozen=True, eq=False)
class FittedModel(QuantizedModel):
    """A quantised model whose grids were chosen tensor by tensor, for one format; its recipe's widths say nothing."""

    grids: Mapping[str, str] = field(default_factory=dict)
    """the name of the grid of every matrix"""

    def grid(self, tensor: str, format_name: str) -> Grid:
        """The chosen grid; `InputError` names the tensor if the format lacks it or its group does not divide a row."""
        known = FORMAT_GRIDS[format_name].values()
        if self.grids[tensor] not in known:
            raise InputError(
                f"{tensor}: grid {self.grids[tensor]} was chosen for another format; {format_name} has "
                f"{', '.join(known)}: fit each format for itself"
            )
        grid = grid_named(self.grids[tensor])
        grid.group_of(tensor, self.checkpoint.architecture.shapes()[tensor][1])
        return grid


@dataclass(frozen=True, eq=False)
class StandIn(FittedModel):
    """Noise in the place of codes and scales, on grids without minimums: a file of the same size, made in seconds.

    What the file holds besides its tensors can be read off its size. No two tensors are alike, for a format may store
    equal ones once.
    """

    def blocks(self, tensor: str, format_name: str) -> Blocks:
        """Codes and scales drawn at random, the same at each call."""
        grid = self.grid(tensor, format_name)
        if grid.affine or grid.super_group:
            raise ValueError(f"{tensor}: noise on {grid.name} would need minimums or super-scales")
        out, row = self.checkpoint.architecture.shapes()[tensor]
        random = np.random.default_rng(self.matrices().index(tensor))
        codes = random.integers(grid.low, grid.high + 1, (out, row), dtype=np.int8)
        scales = random.uniform(0.01, 0.02, (out, row // grid.group_of(tensor, row))).astype(np.float32)
        return Blocks(codes, round_scale(scales, grid.scale_format), grid.name)
