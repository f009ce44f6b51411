"""`compare_releases`: two releases, artefact by artefact and metric by metric."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smolship.errors import InputError
from smolship.runtime_checks.comparison.comparable import IN_TURNS, changes, why_not
from smolship.runtime_checks.comparison.comparison import Compared, Comparison, Pair, PairOutcome, Side, name_of
from smolship.runtime_checks.comparison.judge import by_rounds, by_values, of_same_file
from smolship.runtime_checks.comparison.limits import GIVEN, Limit
from smolship.runtime_checks.comparison.rerun import Rerun
from smolship.runtime_checks.measurements import REFUSED, Measurements
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

Key = tuple[str, str]
"""the artefact's name, of checkpoint, recipe and format, and the place"""


@dataclass(frozen=True)
class Release:
    """One side of a comparison."""

    name: str
    records: tuple[Measurements, ...]


@dataclass(frozen=True)
class Terms:
    """What the new release is held to."""

    limits: Mapping[str, Limit]
    """by metric"""
    allow_unmeasured: bool = False
    allow_removed: bool = False
    reruns: Mapping[str, Rerun] = field(default_factory=dict)
    """what was measured in turns, by the artefact's name"""


def compare_releases(old: Release, new: Release, terms: Terms) -> Comparison:
    """Hold each artefact of `new` against the one of the same checkpoint, recipe, format and place in `old`.

    `InputError` if a side tells of one artefact twice, or the two have none in common.
    """
    before, after = _by_key(old), _by_key(new)
    common = [key for key in before if key in after]
    if not common:
        raise InputError(
            f"{old.name} and {new.name} have no artefact in common, by checkpoint, recipe, format and place: "
            f"the one has {_listed(before.values())}; the other {_listed(after.values())}"
        )
    pairs = tuple(_pair(before[key], after[key], terms) for key in common)
    told = {one.metric for pair in pairs for one in pair.compared}
    return Comparison(
        old=Side(name=old.name, records=len(before)),
        new=Side(name=new.name, records=len(after)),
        allow_unmeasured=terms.allow_unmeasured,
        allow_removed=terms.allow_removed,
        pairs=pairs,
        added=tuple(name_of(after[key].subject, after[key].place) for key in after if key not in before),
        removed=tuple(name_of(before[key].subject, before[key].place) for key in before if key not in after),
        unused=tuple(name for name, limit in terms.limits.items() if limit.given and name not in told),
    )


def _by_key(release: Release) -> dict[Key, Measurements]:
    found: dict[Key, Measurements] = {}
    for one in release.records:
        key = (one.subject.name_of_file, one.place)
        if found.setdefault(key, one) != one:
            raise InputError(
                f"{release.name} tells of {name_of(one.subject, one.place)} twice, measured at different times: "
                "leave one of them"
            )
    return found


def _listed(records: Iterable[Measurements]) -> str:
    return ", ".join(name_of(one.subject, one.place) for one in records) or "none"


def _pair(old: Measurements, new: Measurements, terms: Terms) -> Pair:
    rerun = terms.reruns.get(new.subject.name_of_file) if new.device is None else None
    compared = tuple(_compared(old, new, rerun, terms.limits))
    before, after = old.subject, new.subject
    return Pair(
        old=before,
        new=after,
        place=new.place,
        same_file=(before.model_sha256, before.model_size) == (after.model_sha256, after.model_size),
        changed=changes(old, new),
        failure=_failure(new, rerun),
        compared=compared,
        conditions=rerun.conditions if rerun else None,
        outcome=_outcome(old, new, rerun, compared, terms),
    )


def _compared(old: Measurements, new: Measurements, rerun: Rerun | None, limits: Mapping[str, Limit]) -> list[Compared]:
    """Every metric that one of the sides has."""
    before, after = values(old), values(new)
    rounds = _rounds(rerun) if rerun else {}
    lines = []
    for name, metric in METRICS.items():
        limit = limits.get(name)
        if name in rounds:
            lines.append(by_rounds(metric, *rounds[name], limit))
        elif rerun and rerun.same_files and name in IN_TURNS:
            lines.append(of_same_file(metric, limit))
        elif before[name] is not None or after[name] is not None:
            lines.append(by_values(metric, before[name], after[name], limit, why_not(name, old, new)))
    return lines


def _rounds(rerun: Rerun) -> dict[str, tuple[list[float], list[float]]]:
    """What was measured in turns: the metrics that every round has, above zero on both sides."""
    sides = [[values(one) for one in side] for side in (rerun.old, rerun.new)]
    found = {}
    for name in IN_TURNS:
        told = [[value for one in side if (value := one[name])] for side in sides]
        if rerun.old and all(len(one) == len(rerun.old) for one in told):
            found[name] = (told[0], told[1])
    return found


def _failure(new: Measurements, rerun: Rerun | None) -> str:
    if rerun and rerun.failure:
        return rerun.failure
    return f"{new.failure.stage}: {new.failure.message}" if new.failure else ""


def _outcome(
    old: Measurements, new: Measurements, rerun: Rerun | None, compared: Iterable[Compared], terms: Terms
) -> PairOutcome:
    """A limit that somebody gave has to be judged; one that holds by default may go unjudged, which is shown."""
    if (rerun and rerun.failure) or (new.failure and new.failure.stage != REFUSED):
        return "failed to run"
    lines = list(compared)
    if any(one.outcome == "fail" for one in lines) or (new.failure and not old.failure):
        return "fail"
    unsure = any(
        one.outcome == "undecided" or (one.outcome == "not judged" and one.limit_source == GIVEN) for one in lines
    )
    return "undecided" if unsure and not terms.allow_unmeasured else "pass"
