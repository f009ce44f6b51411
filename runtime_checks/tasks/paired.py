"""Two models on the same rows: differences row by row, which are far surer than the difference of two accuracies."""

import math
from dataclasses import dataclass

import numpy as np

from smolship.runtime_checks.tasks.scores import Float64, mean

Z95 = 1.959963984540054
"""the 97.5th percentile of the normal distribution"""


@dataclass(frozen=True)
class Difference:
    """The mean over rows of one model's value minus the other's."""

    value: float
    error: float
    """standard error"""
    low: float
    high: float
    """the 95 % interval by the normal distribution"""


@dataclass(frozen=True)
class McNemar:
    """How often only one of two models was right."""

    gained: int
    """rows that only the first got right"""
    lost: int
    """rows that only the second got right"""
    p: float
    """two-sided and exact: how likely a split as uneven is if both are as good"""


def difference(a: Float64, b: Float64) -> Difference:
    """The mean of a - b, both [rows] of the same rows."""
    of = mean(a - b)
    return Difference(of.value, of.error, of.value - Z95 * of.error, of.value + Z95 * of.error)


def mcnemar(a: Float64, b: Float64) -> McNemar:
    """McNemar's test (Psychometrika 12, 1947) in its exact binomial form; a and b are 1 where a model was right."""
    gained, lost = int(np.sum((a == 1) & (b == 0))), int(np.sum((a == 0) & (b == 1)))
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    return McNemar(gained, lost, float(min(1.0, 2 * tail / 2**n)))
