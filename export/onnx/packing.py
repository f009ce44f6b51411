"""The bytes of `MatMulNBits` and `GatherBlockQuantized` weights (com.microsoft operators of ONNX Runtime)."""

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import grid_named

GROUP = 32
"""codes that share a scale; the operators take a power of two from 16 up"""

GRID_BITS: dict[str, int] = {"int4-b32": 4, "int8-b32": 8, "q4_0": 4, "uint4-b32": 4}
"""the grids these operators hold exactly: symmetric ones, their zero point in the middle of the unsigned range, and
those with integer zero points of their own"""


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
    unsigned = (blocks.codes.astype(np.int16) + _middle(blocks.grid)).astype(np.uint8).reshape(out, row // GROUP, GROUP)
    return unsigned if bits == 8 else _nibbles(unsigned)


def unpack_codes(packed: NDArray[np.uint8], grid: str) -> NDArray[np.int8]:
    """The codes on `grid`, int8 [out, in], of packed uint8 [out, in/32, 32 · bits / 8]."""
    unsigned = packed if GRID_BITS[grid] == 8 else _from_nibbles(packed)
    return (unsigned.astype(np.int16).reshape(packed.shape[0], -1) - _middle(grid)).astype(np.int8)


def pack_zero_points(tensor: str, blocks: Blocks) -> NDArray[np.uint8] | None:
    """The groups' zero points as 4-bit numbers, uint8 [out, in/64] rounded up; `None` for a symmetric grid.

    `InputError` names the tensor if a minimum is no integer in the codes' range times the scale.
    """
    if blocks.minimums is None:
        return None
    scales = blocks.scales
    zero_points = np.rint(np.divide(-blocks.minimums, scales, out=np.zeros_like(scales), where=scales != 0))
    exact = np.array_equal(-zero_points * scales, blocks.minimums)
    if not exact or zero_points.min() < 0 or zero_points.max() > grid_named(blocks.grid).high:
        raise InputError(
            f"{tensor}: a minimum of grid {blocks.grid} is no zero point times its scale, which MatMulNBits wants; "
            "round the tensor anew"
        )
    odd = zero_points.shape[1] % 2
    return _nibbles(np.pad(zero_points.astype(np.uint8), ((0, 0), (0, odd))))


def unpack_minimums(packed: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """What packed zero points mean under `scales` float32 [out, in/32]: minimums of that shape."""
    zero_points = _from_nibbles(packed.reshape(len(scales), -1))[:, : scales.shape[1]]
    return np.asarray(-zero_points.astype(np.float32) * scales, np.float32)


def half_scales(tensor: str, blocks: Blocks) -> NDArray[np.float16]:
    """The scales as float16 [out, in/32], exactly; `InputError` names the tensor if one of them is not a float16."""
    half = blocks.scales.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), blocks.scales):
        raise InputError(
            f"{tensor}: a scale of grid {blocks.grid} is not exact in float16, which the file stores; "
            "choose a recipe whose grid has float16 scales"
        )
    return half


def _middle(grid: str) -> int:
    """What unsigned codes are above the grid's own."""
    return 0 if grid_named(grid).affine else 1 << (GRID_BITS[grid] - 1)


def _nibbles(unsigned: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two neighbours along the last axis in a byte, the earlier in the low half."""
    return np.asarray(unsigned[..., 0::2] | (unsigned[..., 1::2] << 4), dtype=np.uint8)


def _from_nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The inverse of `_nibbles`."""
    return np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1).astype(np.uint8)
