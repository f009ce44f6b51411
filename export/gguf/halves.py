"""float16 numbers among the bytes of blocks."""

import numpy as np
from numpy.typing import NDArray


def halves(numbers: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """`numbers` [out, n], each of them a float16, as bytes [out, n, 2]; `ValueError` if there are none."""
    if numbers is None:
        raise ValueError("the blocks lack an array that their grid has")
    return np.ascontiguousarray(numbers.astype("<f2")[:, :, None]).view(np.uint8)


def from_halves(cells: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The inverse of `halves`."""
    return np.ascontiguousarray(cells).view("<f2").astype(np.float32)[:, :, 0]
