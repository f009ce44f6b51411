"""`Comparison`: two releases held against each other, artefact by artefact; the contents of `comparison.json`."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from smolship import __version__
from smolship.record import Record
from smolship.runtime_checks.measurements import HERE, Subject

Outcome = Literal["pass", "fail", "undecided", "not judged"]
PairOutcome = Literal["pass", "fail", "undecided", "failed to run"]


class Side(Record):
    """One of the two releases."""

    name: str
    """as it was given: a folder or a file"""
    records: int
    """how many artefacts were measured, each in so many places"""


class Rounds(Record):
    """One metric of both files, measured in turns."""

    old: tuple[float, ...]
    """a value a round, in base units"""
    new: tuple[float, ...]
    ratio: float
    """the median of the rounds' new / old"""
    low: float
    """where the interval of that median begins"""
    high: float
    """and ends"""
    coverage: float
    """how often an interval made so holds the median"""


class Compared(Record):
    """One metric of one artefact in both releases."""

    metric: str
    title: str
    old: float | None
    """in the metric's base unit; of rounds, their median"""
    new: float | None
    change: float | None
    """a fraction of the old value (of rounds, the median ratio less 1); of shares, the difference"""
    limit: str = ""
    """how much worse it may get; nothing if no limit is set"""
    limit_source: str = ""
    """`given`, or why it holds if none is given"""
    outcome: Outcome
    reason: str = ""
    """why it is not judged or not decided"""
    rounds: Rounds | None = None


class Conditions(Record):
    """How a pair was measured in turns."""

    rounds: int
    threads: int
    cpu: str
    runtime: dict[str, str]
    load: tuple[float, ...]
    """the machine's load average of one minute when each run of the probe began; the runs themselves raise it"""


class Pair(Record):
    """One artefact in both releases, in one place."""

    old: Subject
    new: Subject
    place: str
    """`this host` or a device's name"""
    same_file: bool
    """whether the model file is the same, byte for byte"""
    changed: tuple[str, ...] = ()
    """what else is not as it was, such as a runtime's version, in words"""
    failure: str = ""
    """how the runtime failed, or why the new file was not run"""
    compared: tuple[Compared, ...]
    conditions: Conditions | None = None
    outcome: PairOutcome

    @property
    def name(self) -> str:
        """The artefact's, with the place if it is a device."""
        return name_of(self.new, self.place)


class Comparison(Record):
    """What got worse, by how much, and what of it is allowed; its JSON Schema is `comparison.schema.json`."""

    comparison_version: Literal[1] = 1
    smolship: str = __version__
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    old: Side
    new: Side
    allow_unmeasured: bool = False
    """whether what is undecided, or was to be judged and could not be, passes"""
    allow_removed: bool = False
    """whether an artefact that the new release lacks passes"""
    pairs: tuple[Pair, ...] = Field(min_length=1)
    added: tuple[str, ...] = ()
    """what only the new release has"""
    removed: tuple[str, ...] = ()
    """what only the old one has"""
    unused: tuple[str, ...] = ()
    """metrics whose limit was given, and of which neither release has a figure"""

    @property
    def outcomes(self) -> set[PairOutcome]:
        """Every outcome that there is."""
        return {pair.outcome for pair in self.pairs}

    @property
    def all_well(self) -> bool:
        """Whether the gate lets the new release pass."""
        lost = bool(self.removed) and not self.allow_removed
        unheld = bool(self.unused) and not self.allow_unmeasured
        return self.outcomes == {"pass"} and not lost and not unheld

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many figures there are of each outcome."""
        outcomes = [one.outcome for pair in self.pairs for one in pair.compared]
        return {name: outcomes.count(name) for name in ("pass", "fail", "undecided", "not judged")}


def name_of(subject: Subject, place: str) -> str:
    """An artefact in one place, as lists of them name it."""
    return subject.name_of_file if place == HERE else f"{subject.name_of_file} on {place}"
