"""Outliers moved from activations into weights, so that activations survive eight bits with one scale a token.

Source: SmoothQuant, arXiv 2211.10438: inputs are divided by m = peak(x)^alpha / peak(w)^(1 - alpha) and the columns
that read them multiplied by it. Both peaks meet half-way at alpha 0.5.

Per channel that moves the weights within their blocks, for better or worse. A block of columns that shares a scale can
be multiplied as a whole instead: by a power of two its codes stay what they are, so `block_migration_scales` costs a
grid in blocks nothing at all. Outliers that share a block with small channels gain less by it.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.quantize.transforms.equalisation import normalised
from smolship.quantize.transforms.seams import Seam, Weights, block_of_channels, seams
from smolship.quantize.transforms.statistics import Statistics


def migration_scales(
    weights: Weights,
    architecture: Architecture,
    statistics: Statistics,
    alpha: float = 0.5,
    kinds: tuple[str, ...] = ("norm", "v-o", "up-down"),
) -> dict[str, NDArray[np.float64]]:
    """The scales of every seam of `kinds`, their geometric mean one; `alpha` 0 looks at the weights alone."""
    scales = {}
    for seam in seams(architecture).values():
        if seam.kind not in kinds:
            continue
        inputs, columns = _peaks(seam, statistics), np.zeros(seam.channels)
        for side in seam.divided:
            np.maximum.at(columns, side.channel, np.abs(weights[side.tensor]).max(axis=0).astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = normalised(inputs**alpha / columns ** (1 - alpha))
        scales[seam.name] = 1 / factor
    return scales


def block_migration_scales(
    architecture: Architecture,
    statistics: Statistics,
    group: int = 32,
    kinds: tuple[str, ...] = ("norm", "v-o", "up-down"),
) -> dict[str, NDArray[np.float64]]:
    """Powers of two, one a block of `group` channels, that bring the blocks' peaks together.

    Weights on grids of blocks of `group` or less keep every code, as long as no scale leaves its format's range.
    """
    scales = {}
    for seam in seams(architecture).values():
        unit = block_of_channels(seam, group)
        if seam.kind in kinds and unit < seam.channels:
            peaks = normalised(_peaks(seam, statistics).reshape(-1, unit).max(axis=1))  # [channels / unit]
            scales[seam.name] = np.repeat(2.0 ** -np.rint(np.log2(peaks)), unit)
    return scales


def _peaks(seam: Seam, statistics: Statistics) -> NDArray[np.float64]:
    """The largest |x| of each channel over all that read it, float64 [channels]."""
    peaks = np.zeros(seam.channels)
    for side in seam.divided:
        np.maximum.at(peaks, side.channel, statistics.peak(side.tensor).astype(np.float64))
    return peaks
