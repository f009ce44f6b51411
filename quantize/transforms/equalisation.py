"""Scales from the weights alone: gains folded into columns, rows and columns brought to like ranges.

Source: cross-layer equalisation, data-free quantisation, arXiv 1906.04721. What it balances are ranges that share one
scale. Where every row has scales of its own (each grid here), a row's range costs nothing, and only the columns that
share a block are worth levelling: `share` 1 levels the columns and leaves the rows unequal, `share` 0.5 is the paper's.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.quantize.transforms.seams import Side, Weights, seams


def folding_scales(weights: Weights, architecture: Architecture) -> dict[str, NDArray[np.float64]]:
    """Scales that make every norm's gain one, the final one excepted; a gain of zero stays."""
    scales = {}
    for seam in seams(architecture).values():
        if seam.kind == "norm":
            gain = weights[seam.multiplied[0].tensor].astype(np.float64)
            scales[seam.name] = 1 / np.where(gain == 0, 1, gain)
    return scales


def levelling_scales(
    weights: Weights, architecture: Architecture, kind: str, share: float
) -> dict[str, NDArray[np.float64]]:
    """Scales that divide each column by its root mean square to the power `share`, and each row by its own to the rest.

    For every seam of `kind`; of several readers the sum counts. A gain is no row of weights, so for `norm` the rest is
    not used. The scales' geometric mean is one; channels that are zero stay.
    """
    scales = {}
    for seam in seams(architecture).values():
        if seam.kind != kind:
            continue
        columns = _root_mean_square(weights, seam.divided, seam.channels)
        if kind == "norm":
            scales[seam.name] = normalised(columns**share)
        else:
            rows = _root_mean_square(weights, seam.multiplied, seam.channels)
            scales[seam.name] = normalised(columns**share / rows ** (1 - share))
    return scales


def normalised(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positive scales with geometric mean one; what is zero or not finite becomes one."""
    usable = np.isfinite(scale) & (scale > 0)
    logarithm = np.log(np.where(usable, scale, 1))
    return np.where(usable, np.exp(logarithm - logarithm[usable].mean()), 1) if usable.any() else np.ones_like(scale)


def _root_mean_square(weights: Weights, sides: tuple[Side, ...], channels: int) -> NDArray[np.float64]:
    """Of everything that the sides hold of each channel: float64 [channels], 1 where it is zero."""
    total, count = np.zeros(channels), np.zeros(channels)
    for side in sides:
        weight = weights[side.tensor].astype(np.float64)
        squares = np.square(weight).sum(axis=1 - side.axis)  # [along the axis]
        np.add.at(total, side.channel, squares)
        np.add.at(count, side.channel, weight.shape[1 - side.axis])
    return np.where(total > 0, np.sqrt(total / count), 1)
