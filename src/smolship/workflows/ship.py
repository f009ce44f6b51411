"""Ship, the main job: build, prove the integers the same in every file, check each on its runtime, report."""

import time
from dataclasses import dataclass
from pathlib import Path

from smolship.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings
from smolship.targets import Target
from smolship.workflows.build import Built, Order, build
from smolship.workflows.check import Checked, check
from smolship.workflows.identity import Identity, prove_identical


@dataclass(frozen=True)
class Shipped:
    """Everything that the main job did."""

    built: list[Built]
    identities: list[Identity]
    checked: list[Checked]
    seconds: dict[str, float]
    """wall time of each stage"""


def ship(
    checkpoint: Checkpoint,
    out: Path,
    order: Order,
    target: Target,
    settings: Settings,
    *,
    text: Path | None = None,
    progress: Progress = Silent(),
) -> Shipped:
    """Build, compare and check; see `build`, `prove_identical` and `check` for the errors."""
    seconds: dict[str, float] = {}
    start = time.monotonic()

    def lap(stage: str) -> None:
        nonlocal start
        now = time.monotonic()
        seconds[stage], start = now - start, now

    built = build(checkpoint, out, order, progress=progress)
    lap("build")
    artefacts = [one.artefact for one in built]
    identities = prove_identical(artefacts, progress)
    lap("compare")
    checked = check(artefacts, checkpoint, target, settings, text=text, progress=progress)
    lap("check")
    return Shipped(built, identities, checked, seconds)
