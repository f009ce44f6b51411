"""The two grids that XNNPACK has kernels for, and how their codes lie in bytes."""

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.quantize import Blocks

INT4_GROUP = "int4-b32"
INT8_ROW = "int8-row"
_GROUP = 32


def check_grid(name: str, blocks: Blocks) -> None:
    """Refuse what XNNPACK has no kernel for, naming the tensor: it would stay in float there, and nobody would know."""
    columns, groups = blocks.codes.shape[1], blocks.scales.shape[1]
    if blocks.grid == INT4_GROUP:
        if groups * _GROUP != columns:
            raise InputError(
                f"{name}: rows of {columns} weights with {groups} scales; XNNPACK's 4-bit weights need groups of "
                f"{_GROUP} that divide a row: choose a recipe with 8 bits for this tensor"
            )
    elif blocks.grid == INT8_ROW:
        if groups != 1:
            raise InputError(f"{name}: {groups} scales a row, and XNNPACK's 8-bit weights have one: use {INT8_ROW}")
    else:
        raise InputError(
            f"{name}: the grid {blocks.grid} cannot go into an ExecuTorch file, which takes {INT4_GROUP} and {INT8_ROW}"
        )
    if not ((blocks.scales >= np.finfo(np.float32).tiny) & np.isfinite(blocks.scales)).all():
        raise InputError(
            f"{name}: XNNPACK refuses scales that are not positive and normal: round it on the grid {blocks.grid}"
        )


def pack_even_high(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Codes -8..7 [out, in] plus 8, two a byte, the even column in the high half: ExecuTorch's 4-bit embedding."""
    shifted = (codes + np.int8(8)).astype(np.uint8)
    return np.ascontiguousarray(shifted[:, 0::2] << 4 | shifted[:, 1::2])


def pack_even_low(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The same with the even column in the low half, as XNNPACK's 4-bit weights are stored."""
    shifted = (codes + np.int8(8)).astype(np.uint8)
    return np.ascontiguousarray(shifted[:, 1::2] << 4 | shifted[:, 0::2])


def unpack_nibbles(packed: NDArray[np.uint8], *, even_high: bool) -> NDArray[np.int8]:
    """Codes -8..7 [out, in] from either form [out, in / 2]."""
    low, high = packed & 15, packed >> 4
    pairs = np.stack((high, low) if even_high else (low, high), axis=-1)  # [out, in / 2, 2]
    return pairs.reshape(packed.shape[0], -1).astype(np.int8) - np.int8(8)


def exchange_pairs(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Columns 2i and 2i + 1 exchanged, which turns one packing into the other."""
    out, columns = codes.shape
    return np.ascontiguousarray(codes.reshape(out, columns // 2, 2)[:, :, ::-1]).reshape(out, columns)
