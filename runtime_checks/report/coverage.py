"""The coverage table in short: what each grid holds of a model, and where its rounding is worst."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

from smolship.artefact import TensorRecord

_OF_LAYER = re.compile(r"model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)_proj\.weight")


@dataclass(frozen=True)
class GridShare:
    """What one grid holds of a model."""

    grid: str
    tensors: int
    weights: int
    bits_per_weight: float
    worst_tensor: str | None
    """`None` if no error is known: the file was made elsewhere"""
    worst_error: float | None


@dataclass(frozen=True)
class LayerError:
    """The relative error of one matrix of one layer."""

    layer: int
    matrix: str
    """`q`, `k`, `v`, `o`, `gate`, `up` or `down`"""
    error: float


def shares(coverage: Sequence[TensorRecord]) -> list[GridShare]:
    """The coverage table summed by grid, in the order of the grids' names."""
    by_grid = sorted(coverage, key=lambda line: line.grid)
    return [_share(grid, list(lines)) for grid, lines in groupby(by_grid, key=lambda line: line.grid)]


def layer_errors(coverage: Sequence[TensorRecord]) -> tuple[LayerError, ...]:
    """The error of every matrix of every layer that is known, layer by layer."""
    found = [(_OF_LAYER.fullmatch(line.tensor), line.relative_error) for line in coverage]
    errors = [
        LayerError(int(match[1]), match[2], error) for match, error in found if match is not None and error is not None
    ]
    return tuple(sorted(errors, key=lambda one: one.layer))


def _share(grid: str, lines: list[TensorRecord]) -> GridShare:
    sizes = [prod(line.shape) for line in lines]
    bits = sum(size * line.bits_per_weight for size, line in zip(sizes, lines, strict=True)) / sum(sizes)
    known = [(line.relative_error, line.tensor) for line in lines if line.relative_error is not None]
    error, tensor = max(known) if known else (None, None)
    return GridShare(grid, len(lines), sum(sizes), bits, tensor, error)
