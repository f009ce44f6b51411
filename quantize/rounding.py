"""How a weight finds its codes and scales on a grid: one `Rounding` per way, chosen by the recipe."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import Grid, encode, round_scale

CHUNK = 1 << 19
"""weights handled at a time: the search's temporaries then stay within the processor's cache and a few megabytes"""


class Rounding(Protocol):
    """A way to round; calibrated and distilled rounding have this interface too."""

    def round(self, tensor: str, weight: NDArray[np.float32], grid: Grid) -> Blocks:
        """`weight` float32 [out, in] on `grid`; `InputError` names the tensor if a group does not divide a row."""
        ...


class NearestRounding:
    """Round to nearest, each group's scale searched for the least squared error.

    The search tries scales that put the group's largest magnitude on different codes, takes the least-squares scale
    of the best codes (`Σwq / Σq²`), and keeps whichever gives the smallest error after rounding the scale itself to
    the grid's format. The same idea as `make_qx_quants` in llama.cpp's ggml-quants.c, restricted to positive scales.
    """

    def round(self, tensor: str, weight: NDArray[np.float32], grid: Grid) -> Blocks:
        """See `Rounding.round`."""
        out, row = weight.shape
        size = grid.group_of(tensor, row)
        groups = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, size)  # [n, g]
        codes = np.empty(groups.shape, np.int8)
        scales = np.empty(len(groups), np.float32)
        step = max(1, CHUNK // size)
        for start in range(0, len(groups), step):
            part = slice(start, start + step)
            codes[part], scales[part] = _search(groups[part], grid)
        return Blocks(codes.reshape(out, row), scales.reshape(out, row // size), grid.name)


class LlamaCppRounding:
    """llama.cpp's `quantize_row_q4_0_ref`: the scale is the value of largest magnitude divided by -8, so it has a sign.

    Source: ggml/src/ggml-quants.c. Byte-identical with the C library (a test compares them).
    """

    def round(self, tensor: str, weight: NDArray[np.float32], grid: Grid) -> Blocks:
        """See `Rounding.round`; the codes are `trunc(w / d + 8.5) - 8` with the unrounded d, as in C."""
        out, row = weight.shape
        size = grid.group_of(tensor, row)
        groups = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, size)
        largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1, keepdims=True), axis=1)[:, 0]
        d = largest / np.float32(grid.low)
        with np.errstate(divide="ignore"):
            inverse = np.where(d == 0, np.float32(0), np.float32(1) / d).astype(np.float32)
        codes = np.minimum(np.trunc(groups * inverse[:, None] + np.float32(8.5)), 15).astype(np.int8) - np.int8(8)
        scales = round_scale(d, grid.scale_format)
        return Blocks(codes.reshape(out, row), scales.reshape(out, row // size), grid.name)


ROUNDINGS: dict[str, Rounding] = {
    "nearest": NearestRounding(),
    "llama.cpp": LlamaCppRounding(),
}


def _search(groups: NDArray[np.float32], grid: Grid) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The best codes and scales of `groups` [n, g] over the candidate scales."""
    best_error = np.full(len(groups), np.inf, np.float32)
    best_scale = np.zeros(len(groups), np.float32)
    best_codes = np.zeros(groups.shape, np.int8)
    peak = np.abs(groups).max(axis=1)

    def consider(candidate: NDArray[np.float32]) -> None:
        scales = round_scale(candidate, grid.scale_format)
        codes = encode(groups, scales, grid)
        residual = groups - codes * scales[:, None]
        error = np.einsum("ng,ng->n", residual, residual)
        better = error < best_error
        best_error[better] = error[better]
        best_scale[better] = scales[better]
        best_codes[better] = codes[better]

    for divisor in _divisors(grid):
        consider(peak / np.float32(divisor))
    for _ in range(2):
        q = best_codes.astype(np.float32)
        energy = np.einsum("ng,ng->n", q, q)
        fitted = np.einsum("ng,ng->n", groups, q)
        consider(np.where(energy > 0, fitted / np.maximum(energy, 1), best_scale))
    return best_codes, best_scale


def _divisors(grid: Grid) -> Iterator[float]:
    """Codes on which the largest magnitude may fall: past `high` the largest weights clip and the small ones gain."""
    if grid.bits > 4:
        yield from np.linspace(grid.high * 0.98, grid.high * 1.02, 5)
        return
    yield from np.arange(grid.high - 1.0, -grid.low + 3.01, 0.25)
