"""One metric of two files: which way is worse, how much is allowed, and what noise leaves open."""

import pytest

from smolship.runtime_checks.comparison.judge import NO_LIMIT, NOISY, by_rounds, by_values
from smolship.runtime_checks.comparison.limits import parse_limit
from smolship.targets import METRICS


@pytest.mark.parametrize(
    ("limit", "old", "new", "change", "outcome"),
    [
        ("size=1%", 100e6, 101e6, 0.01, "pass"),
        ("size=1%", 100e6, 101.1e6, 0.011, "fail"),
        ("size=1%", 100e6, 50e6, -0.5, "pass"),
        ("size=1MB", 100e6, 101e6, 0.01, "pass"),
        ("top1=0.5pp", 0.96, 0.955, -0.005, "pass"),
        ("top1=0.5pp", 0.96, 0.954, -0.006, "fail"),
        ("top1=0.5pp", 0.96, 0.999, 0.039, "pass"),
        ("top1=1%", 0.96, 0.951, -0.009, "pass"),
        ("answers=0pp", 1.0, 0.75, -0.25, "fail"),
        ("kl_mean=5%", 0.0, 0.0, 0.0, "pass"),
        ("kl_mean=5%", 0.0, 0.001, None, "fail"),
        ("kl_mean=0.001nats", 0.0, 0.001, None, "pass"),
        ("task_accuracy_delta=1pp", -0.01, -0.02, -0.01, "pass"),
        ("task_accuracy_delta=1pp", 0.01, -0.01, -0.02, "fail"),
    ],
)
def test_figures(limit: str, old: float, new: float, change: float | None, outcome: str) -> None:
    allowed = parse_limit(limit)
    made = by_values(allowed.metric, old, new, allowed)
    assert made.outcome == outcome
    assert made.change == (None if change is None else pytest.approx(change))
    assert (made.limit_source, made.reason) == ("given", "")


def test_without_a_limit_a_figure_is_shown() -> None:
    made = by_values(METRICS["kl_max"], 0.1, 0.2, None)
    assert (made.outcome, made.reason, made.change) == ("not judged", NO_LIMIT, 1.0)


@pytest.mark.parametrize(("old", "new", "lacking"), [(None, 0.2, "old"), (0.1, None, "new")])
def test_a_figure_that_one_side_lacks_is_not_judged(old: float | None, new: float | None, lacking: str) -> None:
    made = by_values(METRICS["kl_mean"], old, new, parse_limit("kl_mean=5%"))
    assert (made.outcome, made.reason, made.change) == ("not judged", f"the {lacking} one has none", None)


SIX = [100.0] * 6


@pytest.mark.parametrize(
    ("limit", "new", "outcome"),
    [
        ("decode=5%", [96, 97, 98, 99, 100, 101], "pass"),
        ("decode=5%", [90, 91, 92, 93, 94, 94.9], "fail"),
        ("decode=5%", [90, 97, 98, 99, 100, 101], "undecided"),
        ("decode=5%", [93, 94, 94, 94, 94, 96], "undecided"),
        ("decode=5%", [200] * 6, "pass"),
        ("decode=5tok/s", [96, 97, 98, 99, 100, 101], "pass"),
        ("decode=5tok/s", [94, 94, 94, 94, 94, 94], "fail"),
        ("first_token=5%", [104, 104, 104, 104, 105, 105], "pass"),
        ("first_token=5%", [106, 106, 106, 107, 107, 107], "fail"),
        ("first_token=5%", [104, 106, 106, 106, 106, 106], "undecided"),
        ("first_token=5%", [50] * 6, "pass"),
    ],
)
def test_rounds(limit: str, new: list[float], outcome: str) -> None:
    allowed = parse_limit(limit)
    made = by_rounds(allowed.metric, SIX, new, allowed)
    assert made.outcome == outcome
    assert made.reason == (NOISY if outcome == "undecided" else "")


def test_rounds_are_paired_so_that_what_meets_both_sides_cancels() -> None:
    """The machine is three times as slow in half of the rounds, and the new file always 2 % slower."""
    old = [100.0, 33.0, 100.0, 33.0, 100.0, 33.0]
    made = by_rounds(METRICS["decode"], old, [0.98 * one for one in old], parse_limit("decode=3%"))
    assert made.rounds is not None
    assert made.outcome == "pass"
    assert made.change == pytest.approx(-0.02)
    assert [made.rounds.low, made.rounds.high] == pytest.approx([0.98, 0.98])
    assert made.old == 66.5


def test_rounds_without_a_limit_are_shown() -> None:
    made = by_rounds(METRICS["load_time"], [1, 1, 1], [2, 2, 3], None)
    assert (made.outcome, made.reason, made.change, made.new) == ("not judged", NO_LIMIT, 1.0, 2.0)
    assert made.rounds is not None
    assert (made.rounds.low, made.rounds.high, made.rounds.coverage) == (2, 3, 0.75)
