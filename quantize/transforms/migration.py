"""Outliers moved from activations into weights, so that activations survive eight bits with one scale a token.

Source: SmoothQuant, arXiv 2211.10438: inputs are divided by m = peak(x)^alpha / peak(w)^(1 - alpha) and the columns
that read them multiplied by it. Both peaks meet half-way at alpha 0.5.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.quantize.transforms.equalisation import normalised
from smolship.quantize.transforms.seams import Seam, Weights, seams
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


def _peaks(seam: Seam, statistics: Statistics) -> NDArray[np.float64]:
    """The largest |x| of each channel over all that read it, float64 [channels]."""
    peaks = np.zeros(seam.channels)
    for side in seam.divided:
        np.maximum.at(peaks, side.channel, statistics.peak(side.tensor).astype(np.float64))
    return peaks
