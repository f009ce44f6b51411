"""A comparison in words and figures, for a terminal and for Markdown alike."""

from smolship.runtime_checks.comparison.comparison import Compared, Comparison, Pair
from smolship.runtime_checks.comparison.interval import LEVEL
from smolship.runtime_checks.comparison.judge import NO_LIMIT
from smolship.runtime_checks.comparison.limits import GIVEN
from smolship.runtime_checks.measurements import HERE
from smolship.runtime_checks.report.figures import figure
from smolship.targets import METRICS

SHORT = ": six rounds or more are worth 95 %"
COLUMNS = ("metric", "old", "new", "change", "limit", "")


def titles(comparison: Comparison) -> list[str]:
    """What each pair is called: with the checkpoint's name if there are several."""
    several = len({pair.new.name for pair in comparison.pairs}) > 1
    names = [pair.new.name_of_file if several else pair.new.title for pair in comparison.pairs]
    return [
        name if pair.place == HERE else f"{name} on {pair.place}"
        for name, pair in zip(names, comparison.pairs, strict=True)
    ]


def lines(pair: Pair, *, every: bool = False) -> list[tuple[str, ...]]:
    """A line for each figure that changed, was lost or does not pass; for every figure, if asked."""
    return [_line(one) for one in pair.compared if every or _matters(one)]


def tally(pair: Pair) -> str:
    """How a pair did, in a few words."""
    if pair.failure:
        return pair.failure
    found = [one.outcome for one in pair.compared]
    told = [f"{found.count(name)} {name}" for name in ("pass", "fail", "undecided", "not judged") if name in found]
    return ", ".join(told) + ("; the same model file" if pair.same_file else "")


def notes(comparison: Comparison) -> list[str]:
    """What came and went, what was not judged and why, each reason once, and how rounds were measured."""
    said = [f"Added: {name}" for name in comparison.added]
    done = "which was allowed" if comparison.allow_removed else "build and check it, or say --allow-removed"
    said += [f"Removed: {name} is in {comparison.old.name} alone ({done})" for name in comparison.removed]
    for name, pair in zip(titles(comparison), comparison.pairs, strict=True):
        said += [f"{name}: {'; '.join(pair.changed)}"] if pair.changed else []
    said += [f"{METRICS[name].title}: a limit was given, and neither side has a figure" for name in comparison.unused]
    for reason, metrics in _open(comparison).items():
        said.append(f"{', '.join(METRICS[name].title for name in metrics)}: {reason}")
    return said + _measured(comparison)


def summary(comparison: Comparison) -> str:
    """How many figures of each outcome, and what that means for the gate."""
    found = comparison.counts
    told = f"{found['pass']} figures pass, {found['fail']} fail"
    told += "".join(f", {found[name]} {name}" for name in ("undecided", "not judged") if found[name])
    if comparison.all_well:
        return f"{told}: nothing that was judged got worse than its limit"
    if comparison.outcomes <= {"pass", "undecided"} and not (comparison.removed and not comparison.allow_removed):
        return f"{told}: what is undecided or could not be judged does not pass, unless you say --allow-unmeasured"
    return f"{told}: not all is well"


def _matters(one: Compared) -> bool:
    return one.outcome in ("fail", "undecided") or one.old != one.new


def _line(one: Compared) -> tuple[str, ...]:
    limit = one.limit if not one.limit or one.limit_source == GIVEN else f"{one.limit} (default)"
    return (one.title, figure(one.metric, one.old), figure(one.metric, one.new), _change(one), limit, one.outcome)


def _change(one: Compared) -> str:
    if one.change is None:
        return ""
    if one.old == one.new:
        return "same"
    if one.rounds is None:
        share = METRICS[one.metric].unit.dimension in ("share", "share difference")
        return f"{100 * one.change:+.2f} pp" if share else f"{_percent(one.change)} %"
    return f"{_percent(one.change)} % ({_percent(one.rounds.low - 1)} to {_percent(one.rounds.high - 1)})"


def _percent(part: float) -> str:
    """With its sign; what rounds to nothing is +0.0."""
    return f"{round(100 * part, 1) + 0.0:+.1f}"


def _open(comparison: Comparison) -> dict[str, dict[str, None]]:
    """The metrics that were not judged or not decided, by the reason; of those without a limit, what changed."""
    found: dict[str, dict[str, None]] = {}
    for pair in comparison.pairs:
        for one in pair.compared:
            if one.reason and one.outcome != "pass" and (one.reason != NO_LIMIT or one.old != one.new):
                found.setdefault(one.reason, {})[one.metric] = None
    return found


def _measured(comparison: Comparison) -> list[str]:
    """How many rounds there were, what the intervals are worth, and how busy the machine was."""
    found = [one for pair in comparison.pairs if (one := pair.conditions)]
    rounds = [one.rounds for pair in comparison.pairs for one in pair.compared if one.rounds]
    if not found or not rounds:
        return []
    loads = [load for one in found for load in one.load]
    first = found[0]
    said = (
        f"Measured in turns: {first.rounds} rounds, {first.threads} threads, {first.cpu}, load {min(loads):.1f} to "
        f"{max(loads):.1f} with the measurement's own; in brackets the {100 * rounds[0].coverage:.3g} % interval of "
        f"the median{SHORT if rounds[0].coverage < LEVEL else ''}"
    )
    return [said]
