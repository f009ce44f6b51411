"""Check one artefact: run the probe on it and gather what it measured."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.checkpoint.folder.json_file import read_object
from smolship.progress import Progress, Silent
from smolship.runtime_checks.collect import Collector
from smolship.runtime_checks.job import job_of, questions_for, steps_for
from smolship.runtime_checks.likelihoods import Likelihoods
from smolship.runtime_checks.measurements import Measurements, Subject, TaskScore
from smolship.runtime_checks.run_probe import JOB_FILE, run_probe, stage
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.tasks.asked import AskedTask, ids_of, score_of, task_step
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import Local, Transport
from smolship.text_file import read_text_file

LEAST_SECONDS = 1800.0
LEAST_PARAMETERS = 200_000_000
TEMPLATE_FILE, TOKENIZER_CONFIG = "chat_template.jinja", "tokenizer_config.json"


@dataclass(frozen=True)
class Settings:
    """How the probe is run."""

    threads: int
    repeats: int = 5
    """of every speed, after a warm-up"""
    timeout: float | None = None
    """seconds for the whole probe of one artefact; `None`: as `seconds_for` has it"""
    python: str = sys.executable
    """the interpreter that has the runtime, where the probe runs"""

    def seconds_for(self, parameters: int) -> float:
        """The time that a model of so many weights is given: `timeout`, or else half an hour up to 200 million weights.

        Above, it grows with the weights, as the work of a token does: 1.7 billion have 4 hours and a quarter. It is
        there to end what hangs, not to hurry what is slow.
        """
        if self.timeout is not None:
            return self.timeout
        return LEAST_SECONDS * max(1.0, parameters / LEAST_PARAMETERS)


def check_artefact(
    artefact: Artefact,
    checkpoint: Checkpoint,
    reference: ReferenceWindows,
    settings: Settings,
    *,
    tasks: Sequence[AskedTask] = (),
    transport: Transport | None = None,
    progress: Progress = Silent(),
) -> Measurements:
    """Measure an artefact on its own runtime, in a process of its own, on this machine or where `transport` leads.

    `checkpoint` is the one it was made from; `tasks` are asked last. A runtime that crashes, refuses the file, takes
    too long or computes what is not finite is a result: `Measurements.failure` says how, and what was measured before
    stays. `RuntimeFailure` only if the probe itself does not keep to its protocol; `InputError` if the runtime is not
    installed.
    """
    manifest, tokenizer = artefact.manifest, checkpoint.tokenizer
    if transport is None:
        runtime_for(manifest.format).require()
    asked = questions_for(tokenizer)
    steps = steps_for(
        context=manifest.context,
        repeats=settings.repeats,
        asked=asked,
        windows=reference.windows,
        checkpoint=checkpoint,
    )
    steps += [task_step(one.task) for one in tasks]
    ids = [each for one in tasks for each in ids_of(one.task)]
    job = job_of(steps, manifest, threads=settings.threads)
    subject = subject_of(artefact)
    timeout = settings.seconds_for(subject.parameters)
    title = f"Checking {manifest.recipe} {manifest.format}"
    with (
        _place(transport) as there,
        progress.task(title, settings.repeats + len(reference.windows.tokens) + len(ids)) as advance,
    ):
        stage(there, artefact, job)
        collector = Collector(asked, tokenizer, reference, there, shipped_template(artefact), advance, ids)
        ended = run_probe(there, collector, timeout=timeout, command=[settings.python, "-m", "probe", JOB_FILE])
    failure = collector.failure or ended
    return Measurements(
        subject=subject,
        coverage=manifest.coverage,
        reference=reference.described,
        failure=failure,
        tasks=_scores(tasks, collector.told),
        **collector.fields,
    )


def not_run(artefact: Artefact, described: str) -> Measurements:
    """Of an artefact whose backend no host has: its sizes, and in a sentence why there is nothing more."""
    manifest = artefact.manifest
    reason = manifest.backend.not_run if manifest.backend else ""
    return Measurements(subject=subject_of(artefact), coverage=manifest.coverage, reference=described, not_run=reason)


def _scores(tasks: Sequence[AskedTask], told: Sequence[Likelihoods]) -> tuple[TaskScore, ...]:
    """Of the tasks whose every sequence was answered."""
    scores, begin = [], 0
    for one in tasks:
        end = begin + len(one.task.sequences)
        if end <= len(told):
            scores.append(score_of(one, told[begin:end]))
        begin = end
    return tuple(scores)


def subject_of(artefact: Artefact) -> Subject:
    """What an artefact's manifest says that a report has to."""
    manifest = artefact.manifest
    digests = {file.path: file.sha256 for file in manifest.files}
    return Subject(
        name=manifest.source.name,
        format=manifest.format,
        backend=manifest.backend.name if manifest.backend else None,
        recipe=manifest.recipe,
        context=manifest.context,
        parameters=artefact.parameters,
        size=manifest.bytes,
        model_size=artefact.model_bytes,
        bits_per_weight=manifest.bits_per_weight,
        model_sha256=digests[manifest.model_file],
        instruct=manifest.source.instruct,
        already_quantised=manifest.source.already_quantised,
        stored_as=manifest.source.stored_as,
        predicted_divergence=manifest.predicted_divergence,
        made_by=artefact.made_by,
        notes=() if artefact.foreign is None else artefact.foreign.notes,
    )


def shipped_template(artefact: Artefact) -> str | None:
    """The chat template in the artefact's tokenizer files, for runtimes that keep none in the model file.

    As transformers has it, a file of its own goes before the entry in `tokenizer_config.json`.
    """
    listed = {file.path for file in artefact.manifest.files}
    if TEMPLATE_FILE in listed:
        return read_text_file(artefact.folder / TEMPLATE_FILE, "write the template again").content
    if TOKENIZER_CONFIG not in listed:
        return None
    template = read_object(artefact.folder / TOKENIZER_CONFIG).get("chat_template")
    return template if isinstance(template, str) else None


@contextmanager
def _place(transport: Transport | None) -> Iterator[Transport]:
    """The given transport, or this machine in a temporary folder."""
    if transport is not None:
        yield transport
        return
    with tempfile.TemporaryDirectory(prefix="smolship-check-") as folder:
        yield Local(Path(folder))
