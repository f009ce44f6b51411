"""Weights to `Blocks`, once for every format: grids, rounding, recipes, coverage."""

from smolship.quantize.blocks import Blocks
from smolship.quantize.coverage import TensorCoverage
from smolship.quantize.model import QuantizedModel, quantize
from smolship.quantize.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Blocks", "QuantizedModel", "Recipe", "TensorCoverage", "quantize"]
