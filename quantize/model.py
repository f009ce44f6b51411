"""`QuantizedModel`: one checkpoint under one recipe, quantised once per grid and shared by every format."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.blocks import Blocks
from smolship.quantize.calibrating import SAMPLED, Calibrating
from smolship.quantize.coverage import TensorCoverage, cover, cover_float, cover_solved
from smolship.quantize.formats import grid_of
from smolship.quantize.grids import Grid
from smolship.quantize.recipes import Recipe, recipe_named
from smolship.quantize.rounding import ROUNDINGS, needs_calibration
from smolship.quantize.solution import ROUNDED_ALONE, Solution


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """Blocks by tensor and grid. Formats that put a tensor on the same grid get the very same `Blocks`."""

    checkpoint: Checkpoint
    recipe: Recipe
    solution: Solution = ROUNDED_ALONE
    """what calibration found; its blocks stand for every format that puts the tensor on their grid"""
    _rounded: dict[tuple[str, str], tuple[Blocks, TensorCoverage]] = field(default_factory=dict)

    def matrices(self) -> tuple[str, ...]:
        """The names of the quantised tensors, in file order."""
        return tuple(name for name, shape in self.checkpoint.architecture.shapes().items() if len(shape) == 2)

    def vectors(self) -> tuple[str, ...]:
        """The names of the tensors that stay in float32 (the norms' gains), in file order."""
        return tuple(name for name, shape in self.checkpoint.architecture.shapes().items() if len(shape) == 1)

    def grid(self, tensor: str, format_name: str) -> Grid:
        """The grid of a matrix in a format; `InputError` if the format lacks it or its group does not divide a row."""
        return grid_of(self.recipe, tensor, self.checkpoint.architecture.shapes()[tensor][1], format_name)

    def blocks(self, tensor: str, format_name: str) -> Blocks:
        """The codes and scales of a matrix in a format, rounded at the first call."""
        return self._round(tensor, self.grid(tensor, format_name))[0]

    def floats(self, tensor: str) -> NDArray[np.float32]:
        """A tensor before rounding, float32: as the checkpoint has it, or as calibration changed it."""
        changed = self.solution.floats.get(tensor)
        return self.checkpoint.tensors.read(tensor) if changed is None else changed

    def coverage(self, format_name: str) -> tuple[TensorCoverage, ...]:
        """One line for every tensor of the checkpoint, in file order."""
        shapes = self.checkpoint.architecture.shapes()
        return tuple(
            self._round(name, self.grid(name, format_name))[1]
            if len(shape) == 2
            else cover_float(name, self.floats(name))
            for name, shape in shapes.items()
        )

    def _round(self, tensor: str, grid: Grid) -> tuple[Blocks, TensorCoverage]:
        key = (tensor, grid.name)
        solved = self.solution.blocks.get(tensor)
        if solved is not None and solved.grid == grid.name:
            return solved, cover_solved(tensor, solved, self.solution.errors[tensor])
        if key not in self._rounded:
            weight = self.floats(tensor)
            rounding = "nearest" if self.recipe.calibrated else self.recipe.rounding
            blocks = ROUNDINGS[rounding].round(tensor, weight, grid)
            self._rounded[key] = (blocks, cover(tensor, weight, blocks))
        return self._rounded[key]


def quantize(
    checkpoint: Checkpoint,
    recipe: str,
    formats: tuple[str, ...],
    progress: Progress = Silent(),
    calibrating: Calibrating = SAMPLED,
) -> QuantizedModel:
    """Round every matrix of `checkpoint` for `formats` under the recipe of that name.

    Every tensor is checked against every format's table before the first is rounded: `InputError` names the tensor
    that a format cannot hold. Rounding to nearest takes about 0.1 s per million weights and grid on one core; what
    calibration takes is in the table of recipes.
    """
    model = QuantizedModel(checkpoint, recipe_named(recipe))
    for fmt in formats:
        for name in model.matrices():
            model.grid(name, fmt)
    if model.recipe.calibrated and formats:
        model = replace(model, solution=_solve(model, formats[0], calibrating, progress))
    wanted = {(name, model.grid(name, fmt).name): fmt for fmt in formats for name in model.matrices()}
    shapes = checkpoint.architecture.shapes()
    weights = sum(shapes[name][0] * shapes[name][1] for name, _ in wanted)
    with progress.task(f"quantise {recipe}", weights) as advance:
        for (name, _), fmt in wanted.items():
            model.blocks(name, fmt)
            advance(shapes[name][0] * shapes[name][1])
    return model


def _solve(model: QuantizedModel, format_name: str, calibrating: Calibrating, progress: Progress) -> Solution:
    """The recipe's tensors below 8 bits, found together; their grids are the same in every format."""
    from smolship.quantize.orders import solve_order

    grids = {name: model.grid(name, format_name) for name in model.matrices()}
    assignment = {name: grid.name for name, grid in grids.items() if needs_calibration(grid)}
    return solve_order(model.checkpoint, assignment, calibrating, model.recipe.rounding, progress)
