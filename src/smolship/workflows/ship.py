"""Ship, the main job: build, prove the integers the same in every file, check each on its runtime, report."""

import time
from pathlib import Path

from smolship.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.report import Report, Stage
from smolship.runtime_checks.report.write import write_report
from smolship.workflows.build import Order, build
from smolship.workflows.check import check, prepare
from smolship.workflows.fit import fit
from smolship.workflows.gate import Gate
from smolship.workflows.identity import prove_identical


def ship(
    checkpoint: Checkpoint,
    out: Path,
    order: Order,
    gate: Gate,
    settings: Settings,
    *,
    text: str | Path = "prose",
    progress: Progress = Silent(),
) -> Report:
    """Build below `out`, compare, check, and write the report there; see those workflows for the errors.

    Where the order has goals, every format is fitted to its own, and the recipes are not looked at.
    """
    chosen = prepare(checkpoint, order.formats, order.context, text)
    start = time.monotonic()
    built = (build if order.goals is None else fit)(checkpoint, out, order, progress=progress)
    building = time.monotonic() - start
    written = [one for one in built if not one.kept]
    writing = [
        Stage(name=f"{one.artefact.folder.name}: {lap.name}", seconds=lap.seconds, peak_memory=lap.peak_memory)
        for one in written
        for lap in one.laps
    ]
    rounding = Stage(name="round the weights", seconds=building - sum(one.seconds for one in written))
    artefacts = [one.artefact for one in built]
    start = time.monotonic()
    proved = prove_identical(artefacts, progress)
    comparing = Stage(name="compare the integers in the files", seconds=time.monotonic() - start)
    start = time.monotonic()
    measured = check(artefacts, checkpoint, chosen, settings, progress=progress)
    checking = Stage(name="check on the runtimes", seconds=time.monotonic() - start)
    report = gate.judge(measured).model_copy(
        update={
            "stages": (rounding, *writing, comparing, checking),
            "identical": tuple(str(one) for one in proved),
            "notes": (*checkpoint.notes, *(one.replaced for one in built if one.replaced)),
        }
    )
    write_report(report, out)
    return report
