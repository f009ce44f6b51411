"""Comparing two releases: what got worse, by how much, and whether a limit allows it."""

from smolship.runtime_checks.comparison.compare import Release, Terms, compare_releases
from smolship.runtime_checks.comparison.comparison import Compared, Comparison, Pair
from smolship.runtime_checks.comparison.limits import Limit, limits_of
from smolship.runtime_checks.comparison.rerun import Rerun, measure_in_turns

__all__ = [
    "Compared",
    "Comparison",
    "Limit",
    "Pair",
    "Release",
    "Rerun",
    "Terms",
    "compare_releases",
    "limits_of",
    "measure_in_turns",
]
