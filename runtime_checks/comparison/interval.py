"""The interval that a median lies in, from a few measurements and with nothing assumed of how they are spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Two of the measurements, and how often an interval made so holds the median."""

    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The k-th smallest and the k-th largest value, with the largest k that covers the median in `level` of all cases.

    The coverage is exact for independent measurements: 1 - 2 P(B < k) with B binomial of n and a half (H. A. David and
    H. N. Nagaraja, Order Statistics, 3rd edition, 2003, section 7.1). Fewer than six values do not reach 95 %: theirs
    is the whole range, and `coverage` says what that is worth.
    """
    ordered, n = sorted(values), len(values)
    k = max((k for k in range(1, n // 2 + 1) if _coverage(n, k) >= level), default=1)
    return Interval(ordered[k - 1], ordered[n - k], _coverage(n, k))


def _coverage(n: int, k: int) -> float:
    return 1 - 2 * sum(comb(n, i) for i in range(k)) / float(2**n)
