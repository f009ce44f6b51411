"""The bytes of `MatMulNBits` and `GatherBlockQuantized` weights (com.microsoft operators of ONNX Runtime)."""

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.quantize.blocks import Blocks

GROUP = 32
"""codes that share a scale; the operators take a power of two from 16 up"""

GRID_BITS: dict[str, int] = {"int4-b32": 4, "int8-b32": 8, "q4_0": 4}
"""the grids these operators hold exactly: symmetric, zero point at the middle of the unsigned range"""


def packed_shape(tensor: str, blocks: Blocks) -> tuple[int, int, int]:
    """The shape of the packed codes, (out, in/32, 32 · bits / 8).

    `InputError` names the tensor if its grid or group is none that the operators take.
    """
    if blocks.grid not in GRID_BITS:
        raise InputError(f"{tensor}: grid {blocks.grid} has no ONNX form; use one of {', '.join(GRID_BITS)}")
    out, row = blocks.codes.shape
    if row % GROUP or blocks.scales.shape != (out, row // GROUP):
        raise InputError(
            f"{tensor}: {out} rows of {row} weights with scales {blocks.scales.shape}; MatMulNBits wants groups of "
            f"{GROUP} that divide the row; choose another recipe for it"
        )
    return out, row // GROUP, GROUP * GRID_BITS[blocks.grid] // 8


def pack_codes(blocks: Blocks) -> NDArray[np.uint8]:
    """Unsigned codes, the earlier of two 4-bit ones in the low half: uint8 in the shape of `packed_shape`."""
    out, row = blocks.codes.shape
    bits = GRID_BITS[blocks.grid]
    unsigned = (blocks.codes.astype(np.int16) + (1 << (bits - 1))).astype(np.uint8).reshape(out, row // GROUP, GROUP)
    if bits == 8:
        return unsigned
    return np.asarray(unsigned[..., 0::2] | (unsigned[..., 1::2] << 4), dtype=np.uint8)


def unpack_codes(packed: NDArray[np.uint8], bits: int) -> NDArray[np.int8]:
    """The signed codes, int8 [out, in], of packed uint8 [out, in/32, 32 · bits / 8]."""
    unsigned = packed
    if bits == 4:
        unsigned = np.stack([packed & 0xF, packed >> 4], axis=-1)
    signed = unsigned.astype(np.int16).reshape(packed.shape[0], -1) - (1 << (bits - 1))
    return signed.astype(np.int8)


def half_scales(tensor: str, blocks: Blocks) -> NDArray[np.float16]:
    """The scales as float16 [out, in/32], exactly; `InputError` names the tensor if one of them is not a float16."""
    half = blocks.scales.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), blocks.scales):
        raise InputError(
            f"{tensor}: a scale of grid {blocks.grid} is not exact in float16, which the file stores; "
            "choose a recipe whose grid has float16 scales"
        )
    return half
