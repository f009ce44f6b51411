"""Equivalent transformations: the same model with weights that round better, at no cost when it runs."""

from smolship.quantize.transforms.seams import Scales, Seam, Side, Weights, random_scales, rescale, seams

__all__ = ["Scales", "Seam", "Side", "Weights", "random_scales", "rescale", "seams"]
