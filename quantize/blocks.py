"""`Blocks`: a quantised weight that no file format owns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.quantize.grids import Scaling, decode, grid_named

ARRAYS = ("codes", "scales", "minimums", "super_scales", "super_minimums")
"""the fields of `Blocks` that are arrays or `None`"""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Codes and what their groups along the last axis share: `weight ≈ scale · level(code) + minimum`.

    codes: int8 [out, in]; scales: float32 [out, in / group size]; grid: the name of the `Grid` they lie on. Affine
    grids have minimums, float32 [out, in / group size]. Grids with super-blocks have what packs them: each scale is a
    super-scale, float32 [out, in / 256], times an integer, and each minimum a super-minimum of that shape times one.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    grid: str
    minimums: NDArray[np.float32] | None = None
    super_scales: NDArray[np.float32] | None = None
    super_minimums: NDArray[np.float32] | None = None

    @property
    def group_size(self) -> int:
        """How many neighbouring codes of a row share a scale."""
        return int(self.codes.shape[1] // self.scales.shape[1])

    def dequantize(self) -> NDArray[np.float32]:
        """The weights these blocks stand for, float32 [out, in], bit for bit as the runtimes compute them."""
        out, inner = self.codes.shape
        grouped = self.codes.reshape(out, -1, self.group_size)  # [out, in/g, g]
        minimums = None if self.minimums is None else self.minimums[:, :, None]
        return decode(grouped, self.scales[:, :, None], grid_named(self.grid), minimums).reshape(out, inner)

    def with_rows(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Blocks":
        """The blocks after `change` was applied to the rows (axis 0) of every array."""
        changed: dict[str, Any] = {name: change(a) for name in ARRAYS if (a := getattr(self, name)) is not None}
        return replace(self, **changed)

    def same_as(self, other: "Blocks") -> bool:
        """Whether grid and every number are the same."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ARRAYS)
        return self.grid == other.grid and all(
            a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs
        )


def blocks_of(codes: NDArray[np.int8], scaling: Scaling) -> Blocks:
    """The blocks of `codes` int8 [out, in] under a scaling."""
    factors = scaling.super_scales, scaling.super_minimums
    return Blocks(codes, scaling.scales, scaling.grid.name, scaling.minimums, *factors)
