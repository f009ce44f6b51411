"""Scales from activations: a seam's columns grow by a power of their inputs' size, the power found by trial rounding.

Source: AWQ, arXiv 2306.00978. A column that is multiplied by m before rounding and divided by it afterwards keeps an
error of about 1/m of what it had, as long as its block's scale stays; channels with large inputs deserve that.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.quantize.transforms.equalisation import normalised
from smolship.quantize.transforms.seams import Seam, Weights, seams
from smolship.quantize.transforms.statistics import Statistics

RoundTrip = Callable[[str, NDArray[np.float32]], NDArray[np.float32]]
"""A tensor's name and its weights [out, in] to what they are after rounding, float32 [out, in]."""

EXPONENTS: Final = tuple((alpha, beta) for alpha in (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0) for beta in (0.0, 0.5, 1.0))
"""The powers tried: m = (rms of the input)^alpha / (rms of the column)^beta."""


def activation_scales(
    weights: Weights,
    architecture: Architecture,
    statistics: Statistics,
    round_trip: RoundTrip,
    exponents: Iterable[tuple[float, float]] = EXPONENTS,
    kinds: tuple[str, ...] = ("norm", "v-o", "up-down"),
    rows: int = 192,
) -> dict[str, NDArray[np.float64]]:
    """For every seam of `kinds` the scales whose rounding error, weighted by the activations, is least.

    `rows` is how many rows of a matrix, evenly spaced, are rounded on trial. A seam where nothing beats leaving it
    alone is not in the result.
    """
    pairs = tuple(exponents)
    scales = {}
    for seam in seams(architecture).values():
        if seam.kind not in kinds:
            continue
        size, columns = _sizes(weights, statistics, seam)
        best, least = None, _error(weights, statistics, seam, np.ones(seam.channels), round_trip, rows)
        for alpha, beta in pairs:
            factor = normalised(size**alpha / columns**beta)
            error = _error(weights, statistics, seam, factor, round_trip, rows)
            if error < least:
                best, least = factor, error
        if best is not None:
            scales[seam.name] = 1 / best
    return scales


def _sizes(weights: Weights, statistics: Statistics, seam: Seam) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root mean squares of each channel's input and of the columns that read it, float64 [channels] each."""
    squares, columns, readers, count = (np.zeros(seam.channels) for _ in range(4))
    for side in seam.divided:
        weight = weights[side.tensor]
        np.add.at(squares, side.channel, statistics.mean_square(side.tensor).astype(np.float64))
        np.add.at(readers, side.channel, 1)
        np.add.at(columns, side.channel, np.einsum("oi,oi->i", weight, weight, dtype=np.float64))
        np.add.at(count, side.channel, len(weight))
    return np.sqrt(squares / readers), np.sqrt(columns / count)


def _error(
    weights: Weights,
    statistics: Statistics,
    seam: Seam,
    factor: NDArray[np.float64],
    round_trip: RoundTrip,
    rows: int,
) -> float:
    """The readers' output errors when their columns are rounded under `factor`, each relative to its output."""
    total = 0.0
    for side in seam.divided:
        weight = weights[side.tensor]
        weight = weight[:: max(1, len(weight) // rows)]  # [rows, in]
        columns = factor[side.channel].astype(np.float32)
        residual = round_trip(side.tensor, weight * columns) / columns - weight
        moment = statistics.second_moment(side.tensor)
        output = weighted_square(weight, moment)
        total += weighted_square(residual, moment) / output if output else 0.0
    return total


def weighted_square(weight: NDArray[np.float32], moment: NDArray[np.float32]) -> float:
    """Σ wᵀ H w over the rows of `weight` [n, in], H = `moment` as [in, in] or its diagonal [in]: an output's energy."""
    if moment.ndim == 1:
        return float(np.einsum("oi,oi,i->", weight, weight, moment, optimize=True))
    return float(np.einsum("oi,oi->", weight @ moment, weight))
