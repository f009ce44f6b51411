"""Check one artefact on a device: the probe that runs here runs there, on what is brought along."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, SmolshipError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings, shipped_template, subject_of
from smolship.runtime_checks.collect import Collector
from smolship.runtime_checks.device import Device
from smolship.runtime_checks.job import Workload, another_way_step, job_of, likelihoods_step, questions_for, steps_for
from smolship.runtime_checks.likelihoods import Likelihoods, compare, most_likely, reference_likelihoods
from smolship.runtime_checks.measurements import Failure, Measurements, OnDevice, Subject, TopK
from smolship.runtime_checks.run_probe import run_probe
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.take_steps import take_steps
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import State, disturbances, read_state

OTHERS = {"decode": 128, "prefill": 64}
"""ways of the probe's step `likelihoods` that a runtime's own roundings are seen by, and over how many positions: the
prompts of the second grow with each"""


@dataclass(frozen=True)
class Expected:
    """What the reference and this host say, and a device is held against."""

    reference: ReferenceWindows
    ids: Sequence[NDArray[np.int64]]
    """the tokens that are asked about: int64 [n, k] for each window"""
    likelihoods: Sequence[Likelihoods]
    """by the reference"""

    @classmethod
    def of(cls, reference: ReferenceWindows) -> "Expected":
        """Ask about the reference's most likely tokens."""
        ids = most_likely(reference)
        return cls(reference, ids, reference_likelihoods(reference, ids))


@dataclass(frozen=True)
class HostRun:
    """An artefact, and what it said on this host, which is what it has to say anywhere."""

    artefact: Artefact
    likelihoods: Sequence[Likelihoods]
    noise: TopK
    """how far this host is from itself when it takes the first window another way"""
    before: Measurements | None
    """what `smolship check` measured of the same file on this host, if it did"""

    @classmethod
    def of(
        cls,
        artefact: Artefact,
        checkpoint: Checkpoint,
        expected: Expected,
        settings: Settings,
        progress: Progress = Silent(),
    ) -> "HostRun":
        """Run an artefact here over the same windows; see `take_steps` for the errors."""
        windows, ids = expected.reference.windows, expected.ids
        others = [another_way_step(way, length, windows, ids) for way, length in OTHERS.items()]
        asked = [*ids, *(ids[0][:length] for length in OTHERS.values())]
        title = f"On this host: {artefact.manifest.recipe} {artefact.manifest.format}"
        with progress.task(title, len(asked)) as advance:
            steps = [likelihoods_step(windows, ids), *others]
            told = take_steps(artefact, checkpoint, expected.reference, steps, settings, advance, asked).told
        likelihoods, again = told[: len(ids)], told[len(ids) :]
        near = runtime_for(artefact.manifest.format).near_tie
        apart = [compare([likelihoods[0].beginning(len(one.top1))], [one], near) for one in again]
        return cls(artefact, likelihoods, max(apart, key=lambda one: one.kl_mean), _measured_before(artefact))


def check_on_device(
    run: HostRun,
    checkpoint: Checkpoint,
    expected: Expected,
    device: Device,
    *,
    settings: Settings,
    workload: Workload,
    progress: Progress = Silent(),
) -> Measurements:
    """Bring an artefact to a device, run the probe there, and hold what it says against the reference and this host.

    A crash, a kill or a time-out there is a result: `Measurements.failure`. `InputError` if the artefact cannot run
    there or has no room; `LinkLost` if the connection broke; `RuntimeFailure` if what answers is not the probe.
    """
    artefact, manifest, tokenizer = run.artefact, run.artefact.manifest, checkpoint.tokenizer
    kit = device.kit_for(artefact, progress)
    brought = device.bring(artefact, kit)
    asked = questions_for(tokenizer, workload.questions)
    steps = steps_for(
        context=manifest.context,
        repeats=settings.repeats,
        asked=asked,
        windows=expected.reference.windows,
        checkpoint=checkpoint,
        workload=workload,
        fidelity=likelihoods_step(expected.reference.windows, expected.ids),
    )
    job = job_of(steps, manifest, threads=settings.threads)
    subject = subject_of(artefact)
    timeout = settings.seconds_for(subject.parameters) + workload.sustained
    title = f"On {device.name}: {manifest.recipe} {manifest.format}"
    before = read_state(device.transport, idle=True)
    with (
        brought.job(job) as command,
        progress.task(title, settings.repeats + len(expected.reference.windows.tokens)) as advance,
    ):
        template = shipped_template(artefact)
        collector = Collector(asked, tokenizer, expected.reference, device.transport, template, advance, expected.ids)
        ended = run_probe(device.transport, collector, timeout=timeout, command=command)
    after = _state_afterwards(device)
    where = OnDevice(
        name=device.name,
        target=device.target,
        facts=device.facts,
        before=before,
        after=after,
        disturbances=disturbances(before, after),
    )
    return _measurements(subject, collector, collector.failure or ended, expected, run, where)


def _measurements(
    subject: Subject,
    collector: Collector,
    failure: Failure | None,
    expected: Expected,
    run: HostRun,
    where: OnDevice,
) -> Measurements:
    told = collector.told
    near = runtime_for(subject.format).near_tie
    found: dict[str, Any] = {}
    if len(told) == len(expected.likelihoods):
        found = {"topk": compare(expected.likelihoods, told, near), "from_host": compare(run.likelihoods, told, near)}
    return Measurements(
        subject=subject,
        coverage=run.artefact.manifest.coverage,
        reference=expected.reference.described,
        failure=failure,
        device=where,
        host_topk=compare(expected.likelihoods, run.likelihoods, near),
        host_noise=run.noise,
        **found,
        **collector.fields,
    )


def settings_for(settings: Settings, device: Device) -> Settings:
    """The same with as many threads as the device has cores, at most four, if none were asked for."""
    return settings if settings.threads else replace(settings, threads=min(4, device.facts.cores))


def _state_afterwards(device: Device) -> State | None:
    """How it is doing after a run, whose figures stay, even if it is gone now."""
    try:
        return read_state(device.transport)
    except SmolshipError:
        return None


def _measured_before(artefact: Artefact) -> Measurements | None:
    """What lies in the artefact's folder, if it is of this very file."""
    try:
        before = Measurements.read(artefact.folder)
    except InputError:
        return None
    same = before.subject.model_sha256 == subject_of(artefact).model_sha256
    return before if same else None
