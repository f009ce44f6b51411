"""The interval of a median: by hand, and against every way in which values can fall on both sides of it."""

from itertools import product

import pytest

from smolship.runtime_checks.comparison.interval import Interval, median_interval


@pytest.mark.parametrize(
    ("values", "interval"),
    [
        ([2.0], Interval(2, 2, 0)),
        ([3, 1, 2], Interval(1, 3, 0.75)),
        ([5, 1, 4, 2, 3], Interval(1, 5, 0.9375)),
        ([6, 5, 4, 3, 2, 1], Interval(1, 6, 0.96875)),
        (range(10), Interval(1, 8, 1 - 2 * 11 / 1024)),
        (range(20), Interval(5, 14, 1 - 2 * 21700 / 2**20)),
    ],
    ids=lambda value: str(len(value)) if not isinstance(value, Interval) else "",
)
def test_by_hand(values: list[float], interval: Interval) -> None:
    assert median_interval(values) == interval


@pytest.mark.parametrize("n", [3, 6, 8, 11])
def test_the_coverage_is_the_share_of_all_cases(n: int) -> None:
    """Each value is below or above the median with the same chance: of those 2^n cases, in how many is it held?"""
    interval = median_interval(list(range(n)))
    k = int(interval.low) + 1
    held = sum(k <= sum(below) <= n - k for below in product((0, 1), repeat=n))
    assert interval.coverage == held / 2**n


def test_a_lower_level_gives_a_narrower_interval() -> None:
    assert median_interval(range(10), 0.8) == Interval(2, 7, 1 - 2 * 56 / 1024)
