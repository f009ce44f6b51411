"""`Report`: everything that was checked, against each of several targets; the contents of `report.json`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from smolship import __version__
from smolship.errors import InputError
from smolship.record import Record
from smolship.runtime_checks.measurements import REFUSED, Measurements, Subject
from smolship.runtime_checks.verdicts import Verdict, judge
from smolship.targets import Target

Outcome = Literal["pass", "fail", "not measured", "failed to run", "refused", "no runtime"]
PASSING: frozenset[Outcome] = frozenset({"pass", "no runtime"})


class Judged(Record):
    """One artefact held against one target."""

    target: str
    """its name"""
    measured: str
    """the place whose measurements were judged: `this host` or a device's name"""
    outcome: Outcome
    """`not measured` if a budget could not be judged, and the report does not allow that; `no runtime` if the target
    runs no files of this format, which is another target's affair then"""
    verdicts: tuple[Verdict, ...]


class Checked(Record):
    """One artefact: what was measured of it, here and on devices, and what each target says to that."""

    subject: Subject
    records: tuple[Measurements, ...] = Field(min_length=1)
    judged: tuple[Judged, ...]
    """in the order of the report's targets"""

    @property
    def here(self) -> Measurements | None:
        """What this host measured, if it did."""
        return next((one for one in self.records if one.device is None), None)

    @property
    def on_devices(self) -> tuple[Measurements, ...]:
        """What devices measured."""
        return tuple(one for one in self.records if one.device is not None)


class Judge(Record):
    """A target of the report."""

    name: str
    title: str
    measured_here: bool


class Stage(Record):
    """One stage of the work, its wall time, and the most that the process had resident by its end."""

    name: str
    seconds: float
    peak_memory: int | None = None
    """bytes; only of what runs in this process itself"""


class Report(Record):
    """Artefacts, targets, and a verdict for each budget; its JSON Schema is `report.schema.json` in this package."""

    report_version: Literal[2] = 2
    smolship: str = __version__
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    allow_unmeasured: bool = False
    """whether a budget that could not be measured passes the gate"""
    targets: tuple[Judge, ...]
    checked: tuple[Checked, ...]
    superseded: tuple[str, ...] = ()
    """records that gave way to newer ones of the same file in the same place, a sentence each"""
    identical: tuple[str, ...] = ()
    """what was proved of the integers in the files, a sentence each"""
    notes: tuple[str, ...] = ()
    """what was forgiven or decided of the checkpoint, and what other artefacts gave way, if artefacts were built too"""
    stages: tuple[Stage, ...] = ()
    """where the time went, if artefacts were built too"""

    @property
    def outcomes(self) -> set[Outcome]:
        """Every outcome that there is."""
        return {judged.outcome for one in self.checked for judged in one.judged}

    @property
    def all_well(self) -> bool:
        """Whether the gate lets everything pass."""
        return self.outcomes <= PASSING

    @property
    def unmeasured_alone(self) -> bool:
        """Whether the gate stays closed for nothing but what was not measured."""
        return not self.all_well and self.outcomes <= PASSING | {"not measured"}

    @property
    def counts(self) -> dict[str, int]:
        """How many verdicts there are of each kind."""
        outcomes = [verdict.outcome for one in self.checked for judged in one.judged for verdict in judged.verdicts]
        return {name: outcomes.count(name) for name in ("pass", "fail", "not measured")}


def report_of(records: Sequence[Measurements], targets: Sequence[Target], *, allow_unmeasured: bool = False) -> Report:
    """Judge records of artefacts, taken on this host and on devices, against each target.

    A device's speed and memory are judged by records of a device that is that target, and by nothing else. Of two
    records of the same file in the same place the newer counts. `InputError` if a file was measured on two devices that
    are one target.
    """
    checked, superseded = [], list[str]()
    for group in _by_file(records):
        newest = _newest(group, superseded)
        judged = tuple(_judged(newest, target, allow_unmeasured) for target in targets)
        checked.append(Checked(subject=newest[0].subject, records=tuple(newest), judged=judged))
    return Report(
        allow_unmeasured=allow_unmeasured,
        targets=tuple(Judge(name=one.name, title=one.title, measured_here=one.measured_here) for one in targets),
        checked=tuple(checked),
        superseded=tuple(superseded),
    )


def _by_file(records: Sequence[Measurements]) -> list[list[Measurements]]:
    """Records of the same file together."""
    groups: dict[tuple[str, str, int], list[Measurements]] = {}
    for one in records:
        groups.setdefault((one.subject.name_of_file, one.subject.model_sha256, one.subject.context), []).append(one)
    return list(groups.values())


def _newest(group: Sequence[Measurements], superseded: list[str]) -> list[Measurements]:
    """The newest record of each place, this host's first."""
    places: dict[str, Measurements] = {}
    for one in group:
        other = places.setdefault(one.place, one)
        if one == other:
            continue
        older, newer = sorted((one, other), key=lambda each: each.measured_at)
        places[one.place] = newer
        superseded.append(
            f"{one.subject.name_of_file} on {one.place}: the record of {newer.measured_at:%Y-%m-%d %H:%M:%S} counts, "
            f"not that of {older.measured_at:%Y-%m-%d %H:%M:%S}"
        )
    return sorted(places.values(), key=lambda one: one.device is not None)


def _judged(group: Sequence[Measurements], target: Target, allow_unmeasured: bool) -> Judged:
    chosen = _evidence(group, target)
    if chosen.subject.format not in target.device.runtimes:
        return Judged(target=target.name, measured=chosen.place, outcome="no runtime", verdicts=())
    verdicts = judge(chosen, target, group[0] if group[0].device is None else None)
    return Judged(
        target=target.name,
        measured=chosen.place,
        outcome=_outcome(chosen, verdicts, allow_unmeasured),
        verdicts=verdicts,
    )


def _evidence(group: Sequence[Measurements], target: Target) -> Measurements:
    """What a target is judged by: a device that is one, else this host; `group` has that first.

    Where neither was measured, another device's record tells of the file, and `judge` takes no more from it.
    """
    there = [one for one in group if one.device and one.device.target == target.name]
    if len(there) > 1:
        raise InputError(
            f"{there[0].subject.name_of_file} was measured on several devices that are {target.name} "
            f"({', '.join(one.place for one in there)}): give the records of one"
        )
    return there[0] if there else group[0]


def _outcome(chosen: Measurements, verdicts: Sequence[Verdict], allow_unmeasured: bool) -> Outcome:
    if failure := chosen.failure:
        return "refused" if failure.stage == REFUSED else "failed to run"
    found = {verdict.outcome for verdict in verdicts}
    if "fail" in found:
        return "fail"
    return "not measured" if "not measured" in found and not allow_unmeasured else "pass"
