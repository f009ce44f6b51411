"""The MLP's channels in another order: neighbours share a block's scale in `down`, so like should stand beside like.

Rows of `gate` and `up` and columns of `down` move together; the sum over channels is the same sum. Source of the idea:
RPTQ, arXiv 2304.01089, there for activations.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.errors import InputError
from smolship.quantize.transforms.seams import Weights


def reorder_inner(weights: Weights, architecture: Architecture, orders: NDArray[np.intp]) -> tuple[Weights, bool]:
    """The same model with the MLP's channels of each layer in the order of `orders`, int [layers, intermediate].

    `InputError` if a row is no permutation.
    """
    a = architecture
    plain = np.arange(a.intermediate)
    if orders.shape != (a.layers, a.intermediate) or np.any(np.sort(orders, axis=1) != plain):
        raise InputError(
            f"got orders of shape {list(orders.shape)}, wanted {a.layers} permutations of {a.intermediate} channels"
        )
    moved = {}
    for layer, order in enumerate(orders):
        if np.array_equal(order, plain):
            continue
        p = f"model.layers.{layer}.mlp."
        for name in ("gate_proj", "up_proj"):
            moved[f"{p}{name}.weight"] = weights[f"{p}{name}.weight"][order]
        moved[p + "down_proj.weight"] = np.ascontiguousarray(weights[p + "down_proj.weight"][:, order])
    return {**weights, **moved}, bool(moved)


def orders_by_column(weights: Weights, architecture: Architecture) -> NDArray[np.intp]:
    """Channels by the root mean square of their column of `down`, smallest first: int [layers, intermediate]."""
    columns = [
        np.square(weights[f"model.layers.{layer}.mlp.down_proj.weight"], dtype=np.float64).sum(axis=0)
        for layer in range(architecture.layers)
    ]
    return np.argsort(np.array(columns), axis=1, kind="stable")
