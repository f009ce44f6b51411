"""Smoke: artefacts on devices over SSH, side by side, held against the reference and against this host."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, LinkLost, SmolshipError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings, subject_of
from smolship.runtime_checks.check_on_device import Expected, HostRun, check_on_device, settings_for
from smolship.runtime_checks.device import Device
from smolship.runtime_checks.job import BRIEF, ON_DEVICE, Workload
from smolship.runtime_checks.measurements import REFUSED, Failure, Measurements, OnDevice
from smolship.runtime_checks.report import Report, report_of
from smolship.runtime_checks.suitability import require_target
from smolship.runtime_checks.windows import Windows, reference_windows
from smolship.targets import Transport, Unreachable
from smolship.workflows.check import described, prepare, require_source
from smolship.workflows.places import Place, side_by_side

if TYPE_CHECKING:
    from smolship.reference import Reference

TOKENS, WINDOW = 1024, 128
"""of fidelity on a device"""


@dataclass(frozen=True)
class Smoked:
    """What came of one device."""

    place: Place
    report: Report | None
    """of what was measured; `None` if nothing was"""
    error: SmolshipError | None = None
    """what ended the device's run before all artefacts had been there"""


@dataclass(frozen=True)
class Smoke:
    """How the artefacts are run."""

    settings: Settings
    """`threads` 0: as many as a device has cores, at most four"""
    workload: Workload
    chosen: Windows
    use_installed: bool = False
    """run GGUF files with the llama.cpp that a device has"""
    allow_unmeasured: bool = False
    """let budgets pass that could not be measured"""

    @classmethod
    def of(
        cls,
        artefacts: Sequence[Artefact],
        checkpoint: Checkpoint,
        settings: Settings,
        workload: Workload,
        text: str | Path,
        tokens: int | None,
    ) -> "Smoke":
        """What to run of these artefacts; see `check.prepare` for the errors."""
        formats = {artefact.manifest.format for artefact in artefacts}
        shortest = min(artefact.manifest.context for artefact in artefacts)
        wanted = tokens or (WINDOW if workload == BRIEF else TOKENS)
        return cls(settings, workload, prepare(checkpoint, formats, shortest, text, tokens=wanted, longest=WINDOW))


def workload_for(*, brief: bool, sustained: float) -> Workload:
    """How much is asked of a device."""
    return BRIEF if brief else replace(ON_DEVICE, sustained=sustained)


def smoke(
    artefacts: Sequence[Artefact],
    checkpoint: Checkpoint,
    places: Sequence[Place],
    order: Smoke,
    *,
    here: Settings,
    progress_of: Callable[[str], Progress] = lambda _name: Silent(),
    progress: Progress = Silent(),
) -> list[Smoked]:
    """Run each artefact here, then on every device, the devices side by side; one that fails does not stop the others.

    `InputError` if a file differs from its manifest, comes from another checkpoint, or its runtime is not here.
    """
    for artefact in artefacts:
        require_source(artefact, checkpoint)
        artefact.verify()
    for place in places:
        place.target.require(artefact.manifest.format for artefact in artefacts)

    def load() -> "Reference":
        from smolship.reference import Reference  # torch: only a check that runs needs it

        return Reference.from_checkpoint(checkpoint, here.threads, progress)

    # who is not there says so before anything is computed
    seen = side_by_side(lambda place: _look(place, order, progress_of(place.name)), places)
    results = {place: Smoked(place, None, found) for place, found in seen.items() if isinstance(found, SmolshipError)}
    devices = {place: found for place, found in seen.items() if not isinstance(found, SmolshipError)}
    if devices:
        for device in devices.values():  # one after the other: like devices share what is compiled for them
            _prepare(device, artefacts, progress)
        with reference_windows(load, order.chosen, described(checkpoint), progress) as reference:
            expected = Expected.of(reference)
            runs = [HostRun.of(artefact, checkpoint, expected, here, progress) for artefact in artefacts]

            def work(place: Place) -> Smoked:
                return _one(place, runs, checkpoint, expected, order, progress_of(place.name))

            results |= side_by_side(work, list(devices))
    return [results[place] for place in places]


def _reached(place: Place, transport: Transport, order: Smoke) -> Device:
    return Device.reached(place.name, transport, target=place.target.name, use_installed=order.use_installed)


def _look(place: Place, order: Smoke, progress: Progress) -> Device | SmolshipError:
    """The device, if it answers and is what it should be; its link is closed again."""
    try:
        with progress.task("Looking at it"), place.connect(progress) as transport:
            device = _reached(place, transport, order)
            require_target(place.name, device.facts, place.target)
    except SmolshipError as error:
        return error
    return device


def _prepare(device: Device, artefacts: Sequence[Artefact], progress: Progress) -> None:
    """Have the kits that a device needs in the cache; why one cannot be had is said when the artefact's turn comes."""
    for artefact in artefacts:
        with suppress(InputError):
            device.kit_for(artefact, progress)


def _one(
    place: Place, runs: Sequence[HostRun], checkpoint: Checkpoint, expected: Expected, order: Smoke, progress: Progress
) -> Smoked:
    """All artefacts on one device, one after the other."""
    measured: list[Measurements] = []
    error: SmolshipError | None = None
    try:
        with place.connect(progress) as transport:
            device = _reached(place, transport, order)
            settings = settings_for(order.settings, device)
            for run in runs:  # each is kept as it comes: an error later loses nothing
                one = _run(run, checkpoint, expected, device, settings, order.workload, progress)
                measured.append(one)
    except SmolshipError as problem:
        error = problem
    if measured and all(one.failure and one.failure.stage == REFUSED for one in measured) and error is None:
        error = InputError("; ".join(one.failure.message for one in measured if one.failure))
        measured = []
    return Smoked(place, _report(measured, runs, place, order), error)


def _report(measured: Sequence[Measurements], runs: Sequence[HostRun], place: Place, order: Smoke) -> Report | None:
    """What the device measured, and beside it what this host had measured of the same files."""
    files = {one.subject.model_sha256 for one in measured}
    before = [run.before for run in runs if run.before and run.before.subject.model_sha256 in files]
    if not measured:
        return None
    return report_of([*measured, *before], [place.target], allow_unmeasured=order.allow_unmeasured)


def _run(
    run: HostRun,
    checkpoint: Checkpoint,
    expected: Expected,
    device: Device,
    settings: Settings,
    workload: Workload,
    progress: Progress,
) -> Measurements:
    """One artefact there; that it cannot run there is a result, and the next one may; `Unreachable` if it is gone."""
    try:
        return check_on_device(
            run, checkpoint, expected, device, settings=settings, workload=workload, progress=progress
        )
    except Unreachable:
        raise
    except InputError as refusal:
        return Measurements(
            subject=subject_of(run.artefact),
            device=OnDevice(name=device.name, target=device.target, facts=device.facts),
            reference=expected.reference.described,
            failure=Failure(stage=REFUSED, message=str(refusal)),
        )


def worst_exit(results: Sequence[Smoked]) -> int:
    """The exit code of all: a runtime or a link that failed (3), before bad input (2), before a budget (1)."""
    codes = {result.error.exit_code for result in results if result.error}
    outcomes = {outcome for result in results if result.report for outcome in result.report.outcomes}
    if LinkLost.exit_code in codes or "failed to run" in outcomes:
        return LinkLost.exit_code
    if InputError.exit_code in codes or "refused" in outcomes:
        return InputError.exit_code
    return 1 if outcomes & {"fail", "not measured"} else 0
