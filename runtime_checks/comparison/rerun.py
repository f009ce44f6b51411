"""Both files of a pair measured in turns, so that whatever else the machine does meets both alike."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import Artefact
from smolship.progress import Advance
from smolship.runtime_checks.check_artefact import Settings, subject_of
from smolship.runtime_checks.comparison.comparison import Conditions
from smolship.runtime_checks.job import job_of, speed_steps
from smolship.runtime_checks.measurements import Failure, Measurements
from smolship.runtime_checks.performance import Performance
from smolship.runtime_checks.run_probe import JOB_FILE, run_probe, stage
from smolship.targets import Local

BYTES = range(17, 273)
"""ids of the single bytes, which follow the special tokens in every SmolLM2 vocabulary: speed asks for no more sense"""
LONGEST = 512
SIDES = ("the old file", "the new file")
Turn = Callable[[], Measurements]


@dataclass(frozen=True)
class Rerun:
    """What was measured of two files, round by round; `Measurements` of speed, memory and machine alone."""

    old: tuple[Measurements, ...] = ()
    new: tuple[Measurements, ...] = ()
    failure: str = ""
    """which side's runtime failed, and how"""
    same_files: bool = False
    """that nothing was measured, because the model files are the same"""

    @property
    def conditions(self) -> Conditions | None:
        """How they were measured; `None` if nothing was."""
        hosts = [one.host for pair in zip(self.old, self.new, strict=True) for one in pair if one.host]
        if not hosts:
            return None
        return Conditions(
            rounds=len(self.old),
            threads=hosts[0].threads,
            cpu=hosts[0].cpu,
            runtime=self.old[0].runtime,
            load=tuple(host.load_average[0] for host in hosts),
        )


def measure_in_turns(old: Artefact, new: Artefact, rounds: int, settings: Settings, advance: Advance) -> Rerun:
    """Measure speed and memory of two files of one format in turns: old, new, new, old, old, new and so on.

    Each turn is a probe in a process of its own, with a warm-up and one repeat. A runtime that fails ends it and is a
    result; that it is installed is the caller's to see to.
    """
    context = min(old.manifest.context, new.manifest.context)
    steps = speed_steps(random.Random(0).choices(BYTES, k=LONGEST), context, repeats=1)
    found: tuple[list[Measurements], list[Measurements]] = ([], [])
    with tempfile.TemporaryDirectory(prefix="smolship-compare-") as folder:
        places = [Local(Path(folder, name)) for name in ("old", "new")]
        for place, artefact in zip(places, (old, new), strict=True):
            stage(place, artefact, job_of(steps, artefact.manifest, threads=settings.threads))
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                measured = _turn(places[side], (old, new)[side], settings)
                if failure := measured.failure:
                    said = f"{SIDES[side]} failed in round {number + 1}, at {failure.stage}: {failure.message}"
                    return Rerun(failure=said)
                found[side].append(measured)
                advance(1)
    return Rerun(tuple(found[0]), tuple(found[1]))


def _turn(place: Local, artefact: Artefact, settings: Settings) -> Measurements:
    """One run of the probe where it is staged."""
    subject, taken = subject_of(artefact), Performance(lambda *_: None)
    command = [settings.python, "-m", "probe", JOB_FILE]
    failure: Failure | None = run_probe(place, taken, timeout=settings.seconds_for(subject.parameters), command=command)
    return Measurements(subject=subject, reference="none", failure=failure, **taken.fields)
