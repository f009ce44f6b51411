"""`Prepared`: the same model in weights that round well, and the curvature of each; kept in the cache by content."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize.cache import keep, kept, place_of
from smolship.quantize.calibration.curvature import TOKENS_AT_ONCE, measure
from smolship.quantize.calibration.gram import Gram
from smolship.quantize.calibration.texts import Calibration
from smolship.quantize.grids import grid_named
from smolship.quantize.transforms.activation_scales import Search, activation_scales
from smolship.quantize.transforms.seams import rescale
from smolship.quantize.transforms.statistics import Statistics
from smolship.quantize.transforms.table import nearest_round_trip
from smolship.quantize.transforms.tying import require_tied
from smolship.reference import Reference

_SEARCH_TOKENS = 16384
"""tokens whose plain second moments decide the scales"""
_SEARCH_ROWS = 128


@dataclass(frozen=True, eq=False)
class Prepared:
    """A function-preserving rescaling of a checkpoint and the curvature of its matrices."""

    weights: Mapping[str, NDArray[np.float32]]
    """every tensor after the rescaling"""
    moments: Mapping[str, Tensor]
    """of every matrix [in, in], see `curvature.measure`"""
    digest: str
    """of what it was made from"""


def prepare(
    checkpoint: Checkpoint, reference: Reference, calibration: Calibration, progress: Progress = Silent()
) -> Prepared:
    """The activation-aware scales (AWQ, arXiv 2306.00978, block by block) and the curvature under them.

    Every recipe of a checkpoint starts from the same preparation, whatever its grids: about ten minutes on two cores
    with AVX2 for the 135M model the first time, seconds from the cache.
    """
    inputs = {"checkpoint": checkpoint.identity, "text": calibration.digest}
    place = place_of("prepared", __name__, inputs)
    found = kept(place)
    if found is None:
        found = _compute(checkpoint, reference, calibration, progress)
        keep(place, found)
    scales = {key[7:]: array for key, array in found.items() if key.startswith("scales/")}
    moments = {key[8:]: torch.from_numpy(array) for key, array in found.items() if key.startswith("moments/")}
    weights = _rescaled(checkpoint, _arrays(reference), scales)
    device = reference.weights[EMBEDDING].device
    return Prepared(weights, {name: moment.to(device) for name, moment in moments.items()}, place.stem)


def _compute(
    checkpoint: Checkpoint, reference: Reference, calibration: Calibration, progress: Progress
) -> dict[str, NDArray[Any]]:
    weights, a = _arrays(reference), checkpoint.architecture
    scales = _scales(reference, calibration, progress)
    device = reference.weights[EMBEDDING].device
    rescaled = _rescaled(checkpoint, weights, scales)
    moved = {name: torch.from_numpy(array).to(device) for name, array in rescaled.items()}
    moments = measure(Reference(a, moved), calibration, progress=progress)
    return {f"scales/{name}": scale for name, scale in scales.items()} | {
        f"moments/{name}": moment.cpu().numpy() for name, moment in moments.items()
    }


def _scales(reference: Reference, calibration: Calibration, progress: Progress) -> dict[str, NDArray[np.float64]]:
    statistics = Statistics(_plain_moments(reference, calibration, progress))
    with progress.task("search activation scales"):
        grid = "int4-b32"
        search = Search(nearest_round_trip(grid), grid_named(grid).group_size, rows=_SEARCH_ROWS)
        return activation_scales(_arrays(reference), reference.architecture, statistics, search)


class _Watched(Reference):
    """A reference that adds up the second moments of every matrix's inputs, but the embedding's and the head's."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference.architecture, reference.weights)
        self.sums: dict[str, Gram] = {}

    def linear(self, x: Tensor, name: str) -> Tensor:
        flat = x.flatten(0, -2)
        if name not in self.sums:
            self.sums[name] = Gram(flat.shape[1], flat.device)
        self.sums[name].add(flat, torch.ones(len(flat), device=flat.device))
        return super().linear(x, name)


def _plain_moments(
    reference: Reference, calibration: Calibration, progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """The mean of x xᵀ over tokens for every matrix of the layers, float32 [in, in]."""
    watched, seen = _Watched(reference), 0
    every = max(1, calibration.tokens // _SEARCH_TOKENS)
    with progress.task("watch activations", _SEARCH_TOKENS) as advance:
        for tokens in list(calibration.batches(TOKENS_AT_ONCE))[::every]:
            watched.hidden(tokens)
            seen += tokens.numel()
            advance(tokens.numel())
    return {name: total.total().div_(seen).cpu().numpy() for name, total in watched.sums.items()}


def _rescaled(
    checkpoint: Checkpoint, weights: Mapping[str, NDArray[np.float32]], scales: Mapping[str, NDArray[np.float64]]
) -> Mapping[str, NDArray[np.float32]]:
    after, _ = rescale(weights, checkpoint.architecture, scales)
    require_tied("activation-scales", weights, after, checkpoint.architecture)
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in after.items()}


def _arrays(reference: Reference) -> dict[str, NDArray[np.float32]]:
    return {name: w.detach().cpu().numpy() for name, w in reference.weights.items()}
