"""Equivalent transformations: the same model with weights that round better, at no cost when it runs."""

from smolship.quantize.transforms.seams import Scales, Seam, Side, Weights, random_scales, rescale, seams
from smolship.quantize.transforms.statistics import Statistics
from smolship.quantize.transforms.table import TRANSFORMS, Transform, run, transform_named

__all__ = [
    "TRANSFORMS",
    "Scales",
    "Seam",
    "Side",
    "Statistics",
    "Transform",
    "Weights",
    "random_scales",
    "rescale",
    "run",
    "seams",
    "transform_named",
]
