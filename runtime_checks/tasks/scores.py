"""Accuracy of multiple choice from log-likelihoods, with its standard error; values by row for paired comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.runtime_checks.tasks.rows import Row

Float64 = NDArray[np.float64]
Likelihoods = Sequence[Sequence[float]]
"""of each row, the summed log-probability of each choice, in nats"""


@dataclass(frozen=True)
class Mean:
    """A mean over rows."""

    value: float
    error: float
    """its standard error; 0 for a single row, which says nothing"""
    rows: int


@dataclass(frozen=True)
class RowValues:
    """What one model did with every row, in order: arrays [rows]."""

    choice: NDArray[np.int64]
    """the likeliest choice"""
    right: Float64
    """1 where it is the gold one: `acc`"""
    right_normalised: Float64
    """1 where the likeliest a character is the gold one: `acc_norm`"""
    margin: Float64
    """log-likelihood of the gold choice minus the likeliest other one's, in nats"""


def values(rows: Sequence[Row], likelihoods: Likelihoods) -> RowValues:
    """Score rows as lm-evaluation-harness does (arXiv 2405.14782): the first of equals is taken.

    `acc_norm` divides by the characters of the choice as it stands in the row. `ValueError` if shapes differ.
    """
    choice, normalised, margin = [], [], []
    for row, found in zip(rows, likelihoods, strict=True):
        if len(found) != len(row.choices):
            raise ValueError(f"row {row.id} has {len(row.choices)} choices, and {len(found)} were scored")
        scores = np.asarray(found, np.float64)
        lengths = np.array([len(each) for each in row.choices])
        choice.append(int(scores.argmax()))
        normalised.append(int((scores / np.maximum(lengths, 1)).argmax()))
        margin.append(scores[row.gold] - np.delete(scores, row.gold).max())
    gold = np.array([row.gold for row in rows])
    return RowValues(
        np.array(choice),
        (np.array(choice) == gold).astype(np.float64),
        (np.array(normalised) == gold).astype(np.float64),
        np.array(margin),
    )


def mean(x: Float64) -> Mean:
    """The mean of x [rows] and its standard error from the sample's variance."""
    error = float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else 0.0
    return Mean(float(x.mean()), error, len(x))
