"""`distil`: a calibrated solution with scales and gains from self-distillation; one result for each set of inputs."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace

import torch
from torch import Tensor

from smolship.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.cache import keep, kept, place_of
from smolship.quantize.calibration import Calibration, prepare
from smolship.quantize.distillation.student import Student
from smolship.quantize.distillation.training import TUNING, Tuning, train
from smolship.quantize.divergence import Watch
from smolship.quantize.solution import Solution, Stage, arrays_of, solution_of
from smolship.quantize.solving import errors_of, inputs_of, solve
from smolship.reference import Reference


def distil(
    checkpoint: Checkpoint,
    reference: Reference,
    assignment: Mapping[str, str],
    calibration: Calibration,
    watch: Watch,
    progress: Progress = Silent(),
    tuning: Tuning = TUNING,
) -> Solution:
    """`solve`, and then the scales and the norms' gains trained end to end; codes stay as calibration found them.

    The teacher is the checkpoint in float32, the text the calibration's. Kept in the cache by the content
    of everything that decides it; a run that was stopped goes on where it last wrote down its state.
    """
    tuning = tuning.within(calibration)
    inputs = inputs_of(checkpoint, assignment, calibration, watch)
    inputs["tuning"] = asdict(tuning)
    place, unfinished = (place_of(kind, __name__, inputs) for kind in ("solutions", "unfinished"))
    if (found := kept(place)) is not None:
        return solution_of(found)
    solved = solve(checkpoint, reference, assignment, calibration, watch, progress)
    start = time.monotonic()
    student = Student(checkpoint.architecture, solved, _floats(reference, solved), calibration.precision)
    train(student, reference, calibration, tuning, unfinished, progress)
    distilled = student.solution()
    decoded = _decoded(reference, distilled)
    stage = Stage("distilled", time.monotonic() - start, watch.compare(reference, decoded))
    prepared = prepare(checkpoint, reference, calibration, progress)
    errors = {
        name: errors_of(
            decoded[name], torch.from_numpy(prepared.weights[name]).to(decoded[name]), prepared.moments[name]
        )
        for name in distilled.blocks
    }
    distilled = replace(distilled, errors=errors, stages=(*solved.stages, stage))
    keep(place, arrays_of(distilled))
    unfinished.unlink(missing_ok=True)
    return distilled


def _floats(reference: Reference, solution: Solution) -> dict[str, Tensor]:
    """Every tensor before rounding: as calibration left it, or as the checkpoint has it."""
    moved = {name: torch.from_numpy(array).to(reference.weights[name]) for name, array in solution.floats.items()}
    return {**reference.weights, **moved}


def _decoded(reference: Reference, solution: Solution) -> dict[str, Tensor]:
    """Every tensor as its blocks stand for it, and as it is where there are none."""
    blocks = {
        name: torch.from_numpy(found.dequantize()).to(reference.weights[name])
        for name, found in solution.blocks.items()
    }
    return {**_floats(reference, solution), **blocks}
