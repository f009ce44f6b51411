"""Scales from activations: a seam's columns grow by a power of their inputs' size, the power found by trial rounding.

Source: AWQ, arXiv 2306.00978. A column that is multiplied by m before rounding and divided by it afterwards keeps an
error of about 1/m of what it had, as long as its block's scale stays; channels with large inputs deserve that. AWQ
finds one power a seam. Columns that share no block's scale do not meet in rounding, so here each block finds its own.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.quantize.transforms.equalisation import normalised
from smolship.quantize.transforms.seams import Seam, Side, Weights, block_of_channels, seams
from smolship.quantize.transforms.statistics import Statistics

RoundTrip = Callable[[str, NDArray[np.float32]], NDArray[np.float32]]
"""A tensor's name and its weights [out, in] to what they are after rounding, float32 [out, in]."""

EXPONENTS: Final = tuple((alpha, beta) for alpha in (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0) for beta in (0.0, 0.5, 1.0))
"""The powers tried: m = (rms of the input)^alpha / (rms of the column)^beta."""


@dataclass(frozen=True)
class Search:
    """How powers are tried."""

    round_trip: RoundTrip
    group: int | None = 32
    """columns that share a scale in `round_trip`, `None` for whole rows: each block finds its own power"""
    exponents: tuple[tuple[float, float], ...] = EXPONENTS
    kinds: tuple[str, ...] = ("norm", "v-o", "up-down")
    rows: int = 256
    """how many rows of a matrix, evenly spaced, are rounded on trial"""
    relative: bool = True
    """A matrix's error counts against its output. False adds errors as they are, for second moments that weigh the
    matrices against each other already, such as those weighted by the loss's squared gradient."""


def activation_scales(
    weights: Weights, architecture: Architecture, statistics: Statistics, search: Search
) -> dict[str, NDArray[np.float64]]:
    """For every seam of the search's kinds the scales whose rounding error, weighted by the activations, is least.

    Of full second moments the blocks on the diagonal count. A seam where nothing beats leaving it alone is not in the
    result. `InputError` names a matrix without statistics.
    """
    chosen = [seam for seam in seams(architecture).values() if seam.kind in search.kinds]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy computes without the interpreter's lock
        factors = list(pool.map(lambda seam: _best_factor(seam, weights, statistics, search), chosen))
    return {seam.name: 1 / factor for seam, factor in zip(chosen, factors, strict=True) if np.any(factor != 1)}


def _best_factor(seam: Seam, weights: Weights, statistics: Statistics, search: Search) -> NDArray[np.float64]:
    """What the seam's columns are multiplied by, float64 [channels]."""
    readers = [_Reader(side, weights, statistics, search) for side in seam.divided]
    unit = block_of_channels(seam, search.group)
    size, columns = _sizes(weights, statistics, seam)
    best = np.ones(seam.channels)
    least = _sum_errors(readers, best, unit)
    for alpha, beta in search.exponents:
        factor = _normalised_blocks(size**alpha / columns**beta, unit)
        errors = _sum_errors(readers, factor, unit)
        best = np.where(np.repeat(errors < least, unit), factor, best)
        least = np.minimum(errors, least)
    return best


class _Reader:
    """A matrix that reads a seam, its trial rows and what weighs their errors."""

    def __init__(self, side: Side, weights: Weights, statistics: Statistics, search: Search) -> None:
        self.side, self.round_trip = side, search.round_trip
        weight = weights[side.tensor]
        self.weight = np.ascontiguousarray(weight[:: max(1, len(weight) // search.rows)])  # [rows, in]
        self.moment = statistics.second_moment(side.tensor)
        output = weighted_square(self.weight, self.moment) if search.relative else len(self.weight) / len(weight)
        self.share = 1 / output if output else 0.0

    def errors(self, factor: NDArray[np.float64], unit: int) -> NDArray[np.float64]:
        """The error of the trial rows' outputs, by block of `unit` channels, float64 [channels / unit]."""
        columns = factor[self.side.channel].astype(np.float32)
        residual = self.round_trip(self.side.tensor, self.weight * columns) / columns - self.weight
        step = unit if unit < len(factor) else len(columns)
        blocks = [slice(start, start + step) for start in range(0, len(columns), step)]
        total = np.zeros(len(factor) // unit)
        for block in blocks:
            moment = self.moment[block] if self.moment.ndim == 1 else self.moment[block, block]
            total[self.side.channel[block.start] // unit] += weighted_square(residual[:, block], moment)
        return total * self.share


def _sum_errors(readers: list[_Reader], factor: NDArray[np.float64], unit: int) -> NDArray[np.float64]:
    """Of all matrices that read a seam, float64 [channels / unit]."""
    return np.asarray(np.sum([reader.errors(factor, unit) for reader in readers], axis=0))


def weighted_square(weight: NDArray[np.float32], moment: NDArray[np.float32]) -> float:
    """Σ wᵀ H w over the rows of `weight` [n, in], H = `moment` as [in, in] or its diagonal [in]: an output's energy."""
    if moment.ndim == 1:
        return float(np.square(weight).sum(axis=0) @ moment)
    return float(np.vdot(weight @ moment, weight))


def _normalised_blocks(factor: NDArray[np.float64], unit: int) -> NDArray[np.float64]:
    """Geometric mean one in every block: a block's own size is its scale's business."""
    return np.concatenate([normalised(block) for block in factor.reshape(-1, unit)])


def _sizes(weights: Weights, statistics: Statistics, seam: Seam) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root mean squares of each channel's input and of the columns that read it, float64 [channels] each."""
    squares, columns, readers, count = (np.zeros(seam.channels) for _ in range(4))
    for side in seam.divided:
        weight = weights[side.tensor]
        np.add.at(squares, side.channel, statistics.mean_square(side.tensor).astype(np.float64))
        np.add.at(readers, side.channel, 1)
        np.add.at(columns, side.channel, np.square(weight, dtype=np.float64).sum(axis=0))
        np.add.at(count, side.channel, len(weight))
    return np.sqrt(squares / readers), np.sqrt(columns / count)
