"""`solve`: codes for every tensor of an assignment of grids by calibration; one result for each set of inputs.

The checkpoint is brought into weights that round well (`calibration.prepare`), then each matrix is rounded
under its curvature (`descent`).
"""

import time
from collections.abc import Iterator, Mapping
from math import sqrt

import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.blocks import Blocks
from smolship.quantize.cache import keep, kept, place_of
from smolship.quantize.calibration import Calibration, Prepared, prepare
from smolship.quantize.calibration.curvature import divergence
from smolship.quantize.descent import DAMPINGS, calibrated_together
from smolship.quantize.divergence import Watch
from smolship.quantize.solution import Errors, Solution, Stage, arrays_of, solution_of
from smolship.reference import Reference

_WEIGHTS_TOGETHER = 8_000_000
"""of the matrices that are rounded together: few enough that a group's columns stay in the processor's cache"""


def solve(
    checkpoint: Checkpoint,
    reference: Reference,
    assignment: Mapping[str, str],
    calibration: Calibration,
    watch: Watch,
    progress: Progress = Silent(),
) -> Solution:
    """Blocks for every tensor of `assignment` (tensor to grid), found under the curvature on the calibration text.

    What the assignment leaves out (the embedding in 8 bits, say) is rounded elsewhere, from `Solution.floats` where it
    stands there and the checkpoint where not. Kept in the cache by the content of everything that decides it or
    its stages. On two cores the 135M model takes about a minute after its preparation.
    """
    place = place_of("solutions", __name__, inputs_of(checkpoint, assignment, calibration, watch))
    if (found := kept(place)) is not None:
        return solution_of(found)
    start = time.monotonic()
    run = _Run(reference, prepare(checkpoint, reference, calibration, progress), assignment, watch)
    run.note("scales moved", start)
    start = time.monotonic()
    run.round(progress)
    run.note("rounded", start)
    solution = run.solution()
    keep(place, arrays_of(solution))
    return solution


def inputs_of(
    checkpoint: Checkpoint, assignment: Mapping[str, str], calibration: Calibration, watch: Watch
) -> dict[str, object]:
    """Everything that decides what `solve` finds or its stages say."""
    return {
        "checkpoint": checkpoint.identity,
        "text": calibration.digest,
        "assignment": dict(assignment),
        "dampings": DAMPINGS,
        "watch": {name: windows.tolist() for name, windows in watch.windows.items()},
    }


def errors_of(decoded: Tensor, w: Tensor, moment: Tensor) -> Errors:
    """What rounding did to a prepared matrix `w` [out, in] that is now `decoded`, under the moment of its inputs."""
    e = decoded - w
    weight = float(e.norm()) / max(float(w.norm()), 1e-30)
    return Errors(weight, sqrt(max(divergence(e, moment), 0) / max(divergence(w, moment), 1e-30)))


def _alike(assignment: Mapping[str, str], weights: Mapping[str, Tensor]) -> Iterator[tuple[list[str], str]]:
    """The tensors of an assignment in groups of one shape and grid, and the grid; a group is a few at most."""
    groups: dict[tuple[torch.Size, str], list[str]] = {}
    for name, grid in assignment.items():
        groups.setdefault((weights[name].shape, grid), []).append(name)
    for (shape, grid), names in groups.items():
        most = max(1, _WEIGHTS_TOGETHER // shape.numel())
        for start in range(0, len(names), most):
            yield names[start : start + most], grid


class _Run:
    """The weights on their way, and the rounding of each matrix; what a matrix no longer needs is let go of."""

    def __init__(self, reference: Reference, prepared: Prepared, assignment: Mapping[str, str], watch: Watch) -> None:
        device = reference.weights[EMBEDDING].device
        self.reference, self.watch, self.assignment = reference, watch, assignment
        self.weights = {name: torch.from_numpy(array).to(device) for name, array in prepared.weights.items()}
        self.moments = dict(prepared.moments)
        self.blocks: dict[str, Blocks] = {}
        self.errors: dict[str, Errors] = {}
        self.stages: list[Stage] = []

    def round(self, progress: Progress) -> None:
        """Round every matrix, those of one shape and grid together."""
        with progress.task("round by descent", len(self.assignment)) as advance:
            for names, grid in _alike(self.assignment, self.weights):
                weights = torch.stack([self.weights[name] for name in names])
                moments = torch.stack([self.moments.pop(name) for name in names])
                found = calibrated_together(names, weights, grid, moments)
                for name, blocks, w, moment in zip(names, found, weights, moments, strict=True):
                    self.blocks[name] = blocks
                    self.weights[name] = torch.from_numpy(blocks.dequantize()).to(w.device)
                    self.errors[name] = errors_of(self.weights[name], w, moment)
                advance(len(names))

    def note(self, name: str, start: float) -> None:
        """Write down how far the model is from the checkpoint now."""
        seconds = time.monotonic() - start
        self.stages.append(Stage(name, seconds, self.watch.compare(self.reference, self.weights)))

    def solution(self) -> Solution:
        """What was found, on numpy's side."""
        floats = {
            name: w.cpu().numpy()
            for name, w in self.weights.items()
            if name not in self.blocks and not torch.equal(w, self.reference.weights[name])
        }
        return Solution(self.blocks, floats, self.errors, tuple(self.stages))
