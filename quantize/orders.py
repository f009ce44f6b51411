"""What a user ordered, carried out: the checkpoint in memory, its calibration text, and the solver of the recipe."""

from collections.abc import Callable, Mapping

import torch

from smolship.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.calibrating import Calibrating
from smolship.quantize.calibration import Calibration, from_file, sampled
from smolship.quantize.distillation import distil
from smolship.quantize.divergence import Watch
from smolship.quantize.foresight import foresee
from smolship.quantize.precision import best_precision, calibration_device
from smolship.quantize.recipes import CALIBRATED, DISTILLED
from smolship.quantize.solution import Solution
from smolship.quantize.solving import solve
from smolship.reference import Reference

Solver = Callable[[Checkpoint, Reference, Mapping[str, str], Calibration, Watch, Progress], Solution]

SOLVERS: dict[str, Solver] = {CALIBRATED: solve, DISTILLED: distil}
"""by the rounding of a recipe"""


def solve_order(
    checkpoint: Checkpoint,
    assignment: Mapping[str, str],
    order: Calibrating,
    rounding: str,
    progress: Progress = Silent(),
) -> Solution:
    """Blocks for every tensor of `assignment` (tensor to grid) as the solver of that `rounding` finds them."""
    foreseen = foresee(checkpoint.architecture, order, distils=rounding == DISTILLED)
    with progress.task(f"calibrate ({foreseen} here the first time)"):
        reference, calibration = opened(checkpoint, order, progress)
        watch = Watch({name: torch.tensor(windows) for name, windows in order.watch.items()})
        return SOLVERS[rounding](checkpoint, reference, assignment, calibration, watch, progress)


def opened(checkpoint: Checkpoint, order: Calibrating, progress: Progress = Silent()) -> tuple[Reference, Calibration]:
    """The reference in memory, on a GPU if torch finds one, and the calibration text that a user ordered."""
    reference = Reference.from_checkpoint(checkpoint, progress=progress)
    weights = {name: w.to(calibration_device()) for name, w in reference.weights.items()}
    reference = Reference(reference.architecture, weights)
    precision = best_precision()
    if order.text is None:
        return reference, sampled(checkpoint, reference, precision, order.sequences, progress)
    return reference, from_file(checkpoint, order.text, precision, order.sequences)
