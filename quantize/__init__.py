"""Weights to `Blocks`, once for every format: grids, rounding, recipes, coverage."""

from smolship.quantize.blocks import Blocks
from smolship.quantize.calibrating import SAMPLED, Calibrating
from smolship.quantize.coverage import TensorCoverage
from smolship.quantize.model import QuantizedModel, quantize
from smolship.quantize.recipes import RECIPES, Recipe, recipe_named

__all__ = [
    "RECIPES",
    "SAMPLED",
    "Blocks",
    "Calibrating",
    "QuantizedModel",
    "Recipe",
    "TensorCoverage",
    "quantize",
    "recipe_named",
]
