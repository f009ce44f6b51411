"""`Blocks`: a quantised weight that no file format owns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Blocks:
    """Integer codes and the scales of their groups along the last axis: `weight ≈ codes · scale`.

    codes: int8 [out, in]; scales: float32 [out, in / group size]; grid: the name of the `Grid` they lie on.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    grid: str

    @property
    def group_size(self) -> int:
        """How many neighbouring codes of a row share a scale."""
        return int(self.codes.shape[1] // self.scales.shape[1])

    def dequantize(self) -> NDArray[np.float32]:
        """The weights these blocks stand for, float32 [out, in]."""
        out, inner = self.codes.shape
        grouped = self.codes.reshape(out, -1, self.group_size).astype(np.float32)  # [out, in/g, g]
        return (grouped * self.scales[:, :, None]).reshape(out, inner)
