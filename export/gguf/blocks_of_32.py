"""The bytes of ggml's simple types: blocks of 32 weights with a float16 scale, and a float16 minimum where affine.

Layouts from ggml/src/ggml-common.h, `block_q4_0` to `block_q8_0` and `block_iq4_nl`. Of 4 and 5 bits, element j has
the low half of byte j and element j + 16 the high one; fifth bits stand before them in 4 bytes, element j's in bit j.
Packing takes blocks to uint8 [out, bytes of a row]; unpacking is its inverse.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.export.gguf.halves import from_halves, halves
from smolship.quantize import Blocks
from smolship.quantize.grids import ScaleFormat, round_scale

Bytes = NDArray[np.uint8]


def pack_q4_0(blocks: Blocks) -> Bytes:
    """A scale, then codes + 8."""
    return _row(halves(blocks.scales), _nibbles(_unsigned(blocks, 8)))


def unpack_q4_0(raw: Bytes) -> Blocks:
    """The grid is `int4-b32` if its scales can be these, else `q4_0`."""
    cells = _cells(raw, 18)
    scales = from_halves(cells[..., :2])
    shared = np.array_equal(scales, round_scale(scales, ScaleFormat.BFLOAT16_IN_FLOAT16))
    return Blocks(_signed(_from_nibbles(cells[..., 2:]), 8), scales, "int4-b32" if shared else "q4_0")


def pack_q4_1(blocks: Blocks) -> Bytes:
    """A scale, a minimum, then codes."""
    return _row(halves(blocks.scales), halves(blocks.minimums), _nibbles(_unsigned(blocks, 0)))


def unpack_q4_1(raw: Bytes) -> Blocks:
    """The inverse of `pack_q4_1`."""
    cells = _cells(raw, 20)
    codes = _signed(_from_nibbles(cells[..., 4:]), 0)
    return Blocks(codes, from_halves(cells[..., :2]), "q4_1", from_halves(cells[..., 2:4]))


def pack_q5_0(blocks: Blocks) -> Bytes:
    """A scale, fifth bits, the rest of codes + 16."""
    unsigned = _unsigned(blocks, 16)
    return _row(halves(blocks.scales), _fifth_bits(unsigned), _nibbles(unsigned))


def unpack_q5_0(raw: Bytes) -> Blocks:
    """The inverse of `pack_q5_0`."""
    cells = _cells(raw, 22)
    unsigned = _from_nibbles(cells[..., 6:]) | _from_fifth_bits(cells[..., 2:6])
    return Blocks(_signed(unsigned, 16), from_halves(cells[..., :2]), "q5_0")


def pack_q5_1(blocks: Blocks) -> Bytes:
    """A scale, a minimum, fifth bits, the rest of the codes."""
    unsigned = _unsigned(blocks, 0)
    return _row(halves(blocks.scales), halves(blocks.minimums), _fifth_bits(unsigned), _nibbles(unsigned))


def unpack_q5_1(raw: Bytes) -> Blocks:
    """The inverse of `pack_q5_1`."""
    cells = _cells(raw, 24)
    unsigned = _from_nibbles(cells[..., 8:]) | _from_fifth_bits(cells[..., 4:8])
    return Blocks(_signed(unsigned, 0), from_halves(cells[..., :2]), "q5_1", from_halves(cells[..., 2:4]))


def pack_q8_0(blocks: Blocks) -> Bytes:
    """A scale, then signed codes."""
    return _row(halves(blocks.scales), blocks.codes.view(np.uint8).reshape(len(blocks.codes), -1, 32))


def unpack_q8_0(raw: Bytes) -> Blocks:
    """The inverse of `pack_q8_0`."""
    cells = _cells(raw, 34)
    codes = np.ascontiguousarray(cells[..., 2:]).view(np.int8)
    return Blocks(codes.reshape(len(raw), -1), from_halves(cells[..., :2]), "int8-b32")


def pack_iq4_nl(blocks: Blocks) -> Bytes:
    """A scale, then the levels' indices."""
    return _row(halves(blocks.scales), _nibbles(_unsigned(blocks, 0)))


def unpack_iq4_nl(raw: Bytes) -> Blocks:
    """The inverse of `pack_iq4_nl`."""
    cells = _cells(raw, 18)
    return Blocks(_signed(_from_nibbles(cells[..., 2:]), 0), from_halves(cells[..., :2]), "iq4_nl")


def _row(*parts: Bytes) -> Bytes:
    """Each block's parts [out, in/32, bytes] after one another, and each row's blocks: [out, bytes]."""
    return np.concatenate(parts, axis=2).reshape(len(parts[0]), -1)


def _cells(raw: Bytes, size: int) -> Bytes:
    return raw.reshape(len(raw), -1, size)


def _unsigned(blocks: Blocks, offset: int) -> Bytes:
    return (blocks.codes + np.int8(offset)).view(np.uint8).reshape(len(blocks.codes), -1, 32)


def _signed(unsigned: Bytes, offset: int) -> NDArray[np.int8]:
    return unsigned.reshape(len(unsigned), -1).view(np.int8) - np.int8(offset)


def _nibbles(unsigned: Bytes) -> Bytes:
    return np.asarray((unsigned[..., :16] & 15) | (unsigned[..., 16:] << 4), np.uint8)


def _from_nibbles(nibbles: Bytes) -> Bytes:
    return np.concatenate([nibbles & 15, nibbles >> 4], axis=2)


def _fifth_bits(unsigned: Bytes) -> Bytes:
    return np.packbits(unsigned >> 4, axis=2, bitorder="little")


def _from_fifth_bits(packed: Bytes) -> Bytes:
    return np.asarray(np.unpackbits(packed, axis=2, bitorder="little") << 4, np.uint8)
