"""One metric of two files: how far the new figure is from the old one, and whether the limit allows that."""

from collections.abc import Sequence
from statistics import median

from smolship.runtime_checks.comparison.comparison import Compared, Outcome, Rounds
from smolship.runtime_checks.comparison.interval import median_interval
from smolship.runtime_checks.comparison.limits import Limit
from smolship.targets import Metric

ROUNDING = 1e-9
"""of the figures themselves: 0.96 - 0.955 is more than 0.005 in floating point"""
NO_LIMIT = "no limit is set: give one with --max-regression"
NOISY = "the limit lies within the noise: more --rounds on a quieter machine decide it"
SAME_FILE = "the same files on the same runtime: not measured"


def by_values(metric: Metric, old: float | None, new: float | None, limit: Limit | None, barrier: str = "") -> Compared:
    """Hold one figure against another; `barrier` says why that would tell nothing of the files, if it would."""
    if old is None or new is None:
        return _compared(metric, (old, new), None, limit, reason=f"the {'old' if old is None else 'new'} one has none")
    change = _change(metric, old, new)
    reason = barrier or ("" if limit else NO_LIMIT)
    if reason or limit is None:
        return _compared(metric, (old, new), change, limit, reason=reason)
    worse = new - old if metric.better == "lower" else old - new
    allowed = limit.allowed(old) + ROUNDING * max(abs(old), abs(new))
    return _compared(metric, (old, new), change, limit, "pass" if worse <= allowed else "fail")


def by_rounds(metric: Metric, old: Sequence[float], new: Sequence[float], limit: Limit | None) -> Compared:
    """Hold figures that were measured in turns against each other, round by round; all are above zero.

    The interval of the median ratio decides: all of it beyond the limit fails, all of it within passes, and a limit
    inside the interval is undecided. A limit in the metric's own unit counts as a part of the old median.
    """
    interval = median_interval([after / before for before, after in zip(old, new, strict=True)])
    ratio = median(after / before for before, after in zip(old, new, strict=True))
    rounds = Rounds(
        old=tuple(old), new=tuple(new), ratio=ratio, low=interval.low, high=interval.high, coverage=interval.coverage
    )
    middle = (median(old), median(new))
    if limit is None:
        return _compared(metric, middle, ratio - 1, limit, reason=NO_LIMIT, rounds=rounds)
    lower = metric.better == "lower"
    least, most = (interval.low - 1, interval.high - 1) if lower else (1 - interval.high, 1 - interval.low)
    allowed = limit.allowed(middle[0]) / middle[0] + ROUNDING
    outcome: Outcome = "fail" if least > allowed else "pass" if most <= allowed else "undecided"
    reason = NOISY if outcome == "undecided" else ""
    return _compared(metric, middle, ratio - 1, limit, outcome, reason=reason, rounds=rounds)


def of_same_file(metric: Metric, limit: Limit | None) -> Compared:
    """A figure that was not measured in turns, because the files are the same."""
    return _compared(metric, (None, None), None, limit, "pass" if limit else "not judged", reason=SAME_FILE)


def _change(metric: Metric, old: float, new: float) -> float | None:
    """A fraction of the old value; of shares and differences, the difference."""
    if metric.unit.dimension in ("share", "share difference"):
        return new - old
    if old == new:
        return 0.0
    return (new - old) / abs(old) if old else None


def _compared(
    metric: Metric,
    values: tuple[float | None, float | None],
    change: float | None,
    limit: Limit | None,
    outcome: Outcome = "not judged",
    *,
    reason: str = "",
    rounds: Rounds | None = None,
) -> Compared:
    return Compared(
        metric=metric.name,
        title=metric.title,
        old=values[0],
        new=values[1],
        change=change,
        limit=limit.text if limit else "",
        limit_source=limit.source if limit else "",
        outcome=outcome,
        reason=reason,
        rounds=rounds,
    )
