"""The sensitivities of a checkpoint as calibrated rounding would have its tensors; kept in the cache by content."""

from collections.abc import Mapping

import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.cache import keep_json, kept_json, place_of
from smolship.quantize.calibrating import Calibrating
from smolship.quantize.calibration import Calibration, prepare
from smolship.quantize.descent import DAMPINGS, calibrated
from smolship.quantize.fit.sensitivity import Rounds, Sensitivities, sensitivities
from smolship.quantize.fit.sizes import sizes_of
from smolship.quantize.fit.trials import Trials
from smolship.quantize.grids import grid_named
from smolship.quantize.orders import opened
from smolship.quantize.rounding import NearestRounding, needs_calibration
from smolship.reference import Reference

WINDOWS, LENGTH = 8, 256
"""tokens that divergences are measured on: 2,048"""


def measured(
    checkpoint: Checkpoint,
    reference: Reference,
    calibration: Calibration,
    format_name: str,
    progress: Progress = Silent(),
) -> Sensitivities:
    """What every grid that the format weighs costs every tensor; one forward over 2,048 tokens for each tensor.

    Each tensor is rounded as `solving.solve` would round it, from the checkpoint's prepared weights.
    """
    sizes = sizes_of(checkpoint.architecture, format_name)
    grids = {tensor: sorted(of_grids, key=of_grids.__getitem__) for tensor, of_grids in sizes.items()}
    inputs = {
        "checkpoint": checkpoint.identity,
        "text": calibration.digest,
        "grids": grids,
        "dampings": DAMPINGS,
        "tokens": [WINDOWS, LENGTH],
    }
    place = place_of("sensitivities", __name__, inputs, ".json")
    if (kept := kept_json(place, Sensitivities)) is not None:
        return kept
    prepared = prepare(checkpoint, reference, calibration, progress)
    device = reference.weights[EMBEDDING].device
    weights = {name: torch.from_numpy(array).to(device) for name, array in prepared.weights.items()}
    trials = Trials(Reference(checkpoint.architecture, weights), _windows(calibration).to(device))
    found = sensitivities(trials, prepared.moments, grids, rounds_of(weights, prepared.moments), progress=progress)
    keep_json(place, found)
    return found


def measured_order(
    checkpoint: Checkpoint, format_name: str, order: Calibrating, progress: Progress = Silent()
) -> Sensitivities:
    """`measured` as a user ordered it."""
    return measured(checkpoint, *opened(checkpoint, order, progress), format_name, progress)


def rounds_of(weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> Rounds:
    """Each tensor alone as it will be rounded: by descent, or to nearest where that needs no calibration."""

    def rounded(tensor: str, grid: str) -> Tensor:
        w, on = weights[tensor], grid_named(grid)
        if not needs_calibration(on):
            blocks = NearestRounding().round(tensor, w.cpu().numpy(), on)
        else:
            blocks = calibrated(tensor, w, grid, moments[tensor])
        return torch.from_numpy(blocks.dequantize()).to(w.device)

    return rounded


def _windows(calibration: Calibration) -> Tensor:
    """Some of the calibration text, spread evenly over its kinds: int64 [n, length]."""
    sequences = calibration.sequences
    step = max(1, len(sequences) // WINDOWS)
    return sequences[::step][:WINDOWS, : min(LENGTH, sequences.shape[1])]
