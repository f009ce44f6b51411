"""The coverage table: what became of every tensor, so that nothing is silent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import FLOAT32_BITS, grid_named
from smolship.quantize.solution import Errors


@dataclass(frozen=True)
class TensorCoverage:
    """One tensor's grid, cost and error."""

    tensor: str
    shape: tuple[int, ...]
    grid: str
    """a key of `grids.GRIDS`, or `float32`"""
    bits_per_weight: float
    relative_error: float
    """‖w - ŵ‖ / ‖w‖ (Frobenius norm), 0 for a tensor kept in float32; calibrated: against w after its scales moved"""
    output_error: float | None = None
    """calibrated: ‖(w - ŵ)x‖ / ‖wx‖ over the calibration text, see `solution.Errors`"""


def cover(tensor: str, weight: NDArray[np.float32], blocks: Blocks) -> TensorCoverage:
    """The coverage line of a quantised matrix, float32 [out, in]."""
    residual = weight - blocks.dequantize()
    norm = float(np.linalg.norm(weight))
    error = float(np.linalg.norm(residual)) / norm if norm else 0.0
    bits = grid_named(blocks.grid).bits_per_weight(weight.shape[1])
    return TensorCoverage(tensor, weight.shape, blocks.grid, bits, error)


def cover_solved(tensor: str, blocks: Blocks, errors: Errors) -> TensorCoverage:
    """The coverage line of a matrix whose codes calibration found."""
    bits = grid_named(blocks.grid).bits_per_weight(blocks.codes.shape[1])
    return TensorCoverage(tensor, blocks.codes.shape, blocks.grid, bits, errors.weight, errors.output)


def cover_float(tensor: str, weight: NDArray[np.float32]) -> TensorCoverage:
    """The coverage line of a tensor that stays in float32 (a norm's gain)."""
    return TensorCoverage(tensor, weight.shape, "float32", FLOAT32_BITS, 0.0)


def bits_per_weight(lines: tuple[TensorCoverage, ...]) -> float:
    """The average over all weights of all tensors."""
    sizes = np.array([np.prod(line.shape) for line in lines], dtype=np.float64)
    return float((sizes * np.array([line.bits_per_weight for line in lines])).sum() / sizes.sum())
