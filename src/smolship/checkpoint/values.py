"""What every tensor source checks of a tensor it has read."""

import math

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError


def require_finite(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same values, or an `InputError` that names the tensor and says how many of them are NaN or infinite."""
    if not (math.isfinite(values.min()) and math.isfinite(values.max())):  # NaN wins both; no mask is allocated
        bad = int(values.size - np.isfinite(values).sum())
        raise InputError(
            f"{name} holds {bad} NaN or infinite weights of {values.size}, wanted finite numbers: "
            "fetch the checkpoint again or train on from an earlier one"
        )
    return values
