"""`fit`: the scaling of a whole weight; codes come after (`scaling.encode_with`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids.affine import fit_minimums, fit_zero_points
from smolship.quantize.grids.grid import Grid, Offset
from smolship.quantize.grids.scaling import CHUNK, Scaling
from smolship.quantize.grids.sums import Importance
from smolship.quantize.grids.superblocks import fit_super
from smolship.quantize.grids.symmetric import fit_symmetric

_ARRAYS = ("scales", "minimums", "super_scales", "super_minimums")


def fit(
    weight: NDArray[np.float32], grid: Grid, importance: NDArray[np.float32] | None = None, tensor: str = "the weight"
) -> Scaling:
    """The scaling of `weight` float32 [out, in] that keeps `Σ importance · (w - ŵ)²` of the nearest codes small.

    `importance` ≥ 0, [in] or [out, in]; without one every weight counts the same. `InputError` names `tensor` if a
    group or super-block does not divide a row.
    """
    out, row = weight.shape
    group = grid.group_of(tensor, row)
    unit = grid.super_group or group
    units = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, unit)
    step = max(1, CHUNK // unit)
    parts = [
        _fitter(grid)(units[at : at + step], grid, _importance_of(importance, weight.shape, unit, at, at + step))
        for at in range(0, len(units), step)
    ]
    arrays: dict[str, Any] = {name: _together([getattr(part, name) for part in parts], out) for name in _ARRAYS}
    return Scaling(grid, group, **arrays)


def _fitter(grid: Grid) -> Callable[[NDArray[np.float32], Grid, Importance], Scaling]:
    if grid.super_group:
        return fit_super
    return {Offset.NONE: fit_symmetric, Offset.MINIMUM: fit_minimums, Offset.ZERO_POINT: fit_zero_points}[grid.offset]


def _importance_of(
    importance: NDArray[np.float32] | None, shape: tuple[int, ...], unit: int, start: int, stop: int
) -> Importance:
    """The importances of units `start` to `stop`, [n, unit]; a unit that matters nowhere counts as if all did alike."""
    if importance is None:
        return None
    if importance.ndim == 1:
        per_row = shape[1] // unit
        units = np.arange(start, min(stop, shape[0] * per_row)) % per_row
        found = importance.reshape(-1, unit)[units]
    else:
        found = importance.reshape(-1, unit)[start:stop]
    found = found.astype(np.float32)
    found[~found.any(axis=1)] = 1
    return found


def _together(parts: list[NDArray[np.float32] | None], out: int) -> NDArray[np.float32] | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found).reshape(out, -1) if found else None
