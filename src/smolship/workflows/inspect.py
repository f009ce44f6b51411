"""Inspect: what an artefact's manifest says, every tensor's grid and error, and whether its files are unchanged."""

from dataclasses import dataclass
from itertools import groupby
from math import prod
from pathlib import Path

from smolship.artefact import Artefact, TensorRecord


@dataclass(frozen=True)
class GridShare:
    """What one grid holds of a model."""

    grid: str
    tensors: int
    weights: int
    bits_per_weight: float
    worst_tensor: str
    worst_error: float


def inspect(folder: Path) -> Artefact:
    """Open the artefact in `folder` and compare every file with its hash (`InputError` names one that differs)."""
    artefact = Artefact.open(folder)
    artefact.verify()
    return artefact


def shares(coverage: tuple[TensorRecord, ...]) -> list[GridShare]:
    """The coverage table summed by grid, in the order of the grids' names."""
    by_grid = sorted(coverage, key=lambda line: line.grid)
    return [_share(grid, list(lines)) for grid, lines in groupby(by_grid, key=lambda line: line.grid)]


def _share(grid: str, lines: list[TensorRecord]) -> GridShare:
    sizes = [prod(line.shape) for line in lines]
    bits = sum(size * line.bits_per_weight for size, line in zip(sizes, lines, strict=True)) / sum(sizes)
    worst = max(lines, key=lambda line: line.relative_error)
    return GridShare(grid, len(lines), sum(sizes), bits, worst.tensor, worst.relative_error)
