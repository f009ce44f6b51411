"""Sums over groups that weigh each weight by its importance; without importances every weight counts the same."""

import numpy as np
from numpy.typing import NDArray

Importance = NDArray[np.float32] | None
"""float32 [n, g] ≥ 0, or `None` for all ones"""


def weighted_dot(a: NDArray[np.float32], b: NDArray[np.float32], importance: Importance) -> NDArray[np.float32]:
    """`Σ importance · a · b` over each group: [n, g] to [n]."""
    first = a if importance is None else a * importance
    return np.asarray(np.einsum("ng,ng->n", first, b), np.float32)


def weighted_sum(a: NDArray[np.float32], importance: Importance) -> NDArray[np.float32]:
    """`Σ importance · a` over each group: [n, g] to [n]."""
    return np.asarray(a.sum(axis=1) if importance is None else np.einsum("ng,ng->n", a, importance), np.float32)


def ratio(
    above: NDArray[np.float32], below: NDArray[np.float32], otherwise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`above / below` where `below` is positive, else `otherwise`."""
    return np.divide(above, below, out=otherwise.astype(np.float32), where=below > 0)
