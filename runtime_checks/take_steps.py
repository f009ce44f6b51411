"""A few steps of the probe on this machine, where a whole check is not wanted."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import RuntimeFailure
from smolship.progress import Advance
from smolship.runtime_checks.check_artefact import Settings, subject_of
from smolship.runtime_checks.collect import Collector
from smolship.runtime_checks.job import Step, job_of, questions_for
from smolship.runtime_checks.run_probe import JOB_FILE, run_probe, stage
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import Local


def take_steps(
    artefact: Artefact,
    checkpoint: Checkpoint,
    reference: ReferenceWindows,
    steps: Sequence[Step],
    settings: Settings,
    advance: Advance,
    ids: Sequence[NDArray[np.int64]] = (),
) -> Collector:
    """Take steps with an artefact on its own runtime here; what they told. `ids`: whose likelihoods are asked.

    `RuntimeFailure` says how the runtime failed, `InputError` what is not installed.
    """
    manifest = artefact.manifest
    runtime_for(manifest.format).require()
    job = job_of(steps, manifest, threads=settings.threads)
    timeout = settings.seconds_for(subject_of(artefact).parameters)
    with tempfile.TemporaryDirectory(prefix="smolship-steps-") as folder:
        there = Local(Path(folder))
        stage(there, artefact, job)
        asked = questions_for(checkpoint.tokenizer)
        collector = Collector(asked, checkpoint.tokenizer, reference, there, None, advance, ids)
        ended = run_probe(there, collector, timeout=timeout, command=[settings.python, "-m", "probe", JOB_FILE])
    failure = collector.failure or ended
    if failure:
        raise RuntimeFailure(f"{artefact.name} failed on this host, at {failure.stage}: {failure.message}")
    return collector
