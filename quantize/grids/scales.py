"""The numbers a scale may be, and rounding to them."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray


class ScaleFormat(Enum):
    """The numbers a scale may be: what the narrowest of the runtimes that read the grid can hold exactly."""

    BFLOAT16_IN_FLOAT16 = "positive, at most 8 significant bits, within float16's normal range"
    FLOAT16 = "float16"
    FLOAT32 = "float32, positive and normal"


# float16 has no normal number below 2^-14, bfloat16 and float16 share the exponents from there up to float16's largest.
_SMALLEST_SCALE = np.float32(2.0**-14)
_LARGEST_SCALE = np.float32(65280.0)  # 0xFF · 2^8: the largest float16 with 8 significant bits
# XNNPACK refuses scales that are zero or subnormal; a row this small is zero to every activation.
_SMALLEST_FLOAT32_SCALE = np.float32(2.0**-60)


def round_scale(scale: NDArray[np.float32], scale_format: ScaleFormat) -> NDArray[np.float32]:
    """Each scale as the nearest number its format holds, float32 of the same shape (ties to even).

    Formats of positive scales raise what is too small, zero too, to their smallest number (2^-60 in FLOAT32).
    """
    if scale_format is ScaleFormat.FLOAT32:
        return np.maximum(scale.astype(np.float32), _SMALLEST_FLOAT32_SCALE)
    if scale_format is ScaleFormat.FLOAT16:
        return scale.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(scale, dtype=np.float32).view(np.uint32)
    # round-half-to-even on the upper 16 bits: bfloat16's 8 significant bits
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.clip(nearest.astype(np.uint32).view(np.float32), _SMALLEST_SCALE, _LARGEST_SCALE)
