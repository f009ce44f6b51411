"""The bytes of ggml's K-quants: super-blocks of 256 weights whose groups have small integers for scales.

Layouts from ggml/src/ggml-common.h (`block_q4_K`, `block_q5_K`, `block_q6_K`) and `get_scale_min_k4` in ggml-quants.c.
Packing takes blocks to uint8 [out, bytes of a row]; unpacking is its inverse.
"""

import numpy as np
from numpy.typing import NDArray

from smolship.export.gguf.halves import from_halves, halves
from smolship.quantize import Blocks

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def pack_q4_k(blocks: Blocks) -> Bytes:
    """The super-scale and super-minimum, 12 bytes of factors, codes."""
    unsigned = blocks.codes.view(np.uint8)
    return _row(halves(blocks.super_scales), halves(blocks.super_minimums), _factors(blocks), _nibbles(unsigned))


def unpack_q4_k(raw: Bytes) -> Blocks:
    """The inverse of `pack_q4_k`."""
    cells = raw.reshape(len(raw), -1, 144)
    return _affine(cells, _from_nibbles(cells[..., 16:]), "q4_k")


def pack_q5_k(blocks: Blocks) -> Bytes:
    """As Q4_K, the codes' fifth bits before the rest: bit j of byte l is the one of group j's element l."""
    unsigned = blocks.codes.view(np.uint8)
    fifth = np.packbits(unsigned.reshape(len(unsigned), -1, 8, 32) >> 4, axis=2, bitorder="little")[:, :, 0]
    parts = halves(blocks.super_scales), halves(blocks.super_minimums), _factors(blocks), fifth
    return _row(*parts, _nibbles(unsigned))


def unpack_q5_k(raw: Bytes) -> Blocks:
    """The inverse of `pack_q5_k`."""
    cells = raw.reshape(len(raw), -1, 176)
    fifth = np.unpackbits(cells[:, :, None, 16:48], axis=2, bitorder="little")  # [out, in/256, 8, 32]
    unsigned = _from_nibbles(cells[..., 48:]) | fifth.reshape(len(raw), -1) << 4
    return _affine(cells, np.asarray(unsigned, np.uint8), "q5_k")


def pack_q6_k(blocks: Blocks) -> Bytes:
    """Low halves of codes + 32, their upper two bits, 16 signed factors, the super-scale.

    Of each 128 weights in four runs of 32, the low halves of runs 0 and 2 share bytes, as do those of 1 and 3; the
    upper bits of all four share bytes, run 0's the lowest.
    """
    out = len(blocks.codes)
    unsigned = (blocks.codes + np.int8(32)).view(np.uint8).reshape(out, -1, 2, 4, 32)
    low = np.asarray((unsigned[:, :, :, :2] & 15) | (unsigned[:, :, :, 2:] << 4), np.uint8)
    upper = unsigned >> 4
    high = np.asarray(
        upper[..., 0, :] | upper[..., 1, :] << 2 | upper[..., 2, :] << 4 | upper[..., 3, :] << 6, np.uint8
    )
    factors = _integers(blocks.scales, blocks.super_scales).astype(np.int8).view(np.uint8)
    parts = low.reshape(out, -1, 128), high.reshape(out, -1, 64), factors
    return _row(*parts, halves(blocks.super_scales))


def unpack_q6_k(raw: Bytes) -> Blocks:
    """The inverse of `pack_q6_k`."""
    out = len(raw)
    cells = raw.reshape(out, -1, 210)
    low = cells[..., :128].reshape(out, -1, 2, 2, 32)
    high = cells[..., 128:192].reshape(out, -1, 2, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    unsigned = np.concatenate([low & 15, low >> 4], axis=3) | (high >> shifts & 3) << 4
    d = from_halves(cells[..., 208:])
    factors = np.ascontiguousarray(cells[..., 192:208]).view(np.int8).astype(np.float32)
    codes = unsigned.reshape(out, -1).view(np.int8) - np.int8(32)
    return Blocks(codes, (d[:, :, None] * factors).reshape(out, -1), "q6_k", super_scales=d)


def _row(*parts: Bytes) -> Bytes:
    """Each super-block's parts [out, in/256, bytes] after one another, and each row's super-blocks: [out, bytes]."""
    return np.concatenate(parts, axis=2).reshape(len(parts[0]), -1)


def _nibbles(unsigned: Bytes) -> Bytes:
    """Of each 64 weights [out, in] the first 32 in the low halves of bytes, the others in the high ones."""
    pairs = unsigned.reshape(len(unsigned), -1, 4, 2, 32)
    return np.asarray(pairs[:, :, :, 0] & 15 | pairs[:, :, :, 1] << 4, np.uint8).reshape(len(unsigned), -1, 128)


def _from_nibbles(nibbles: Bytes) -> Bytes:
    """The inverse of `_nibbles`: [out, in]."""
    runs = nibbles.reshape(len(nibbles), -1, 4, 1, 32)
    return np.concatenate([runs & 15, runs >> 4], axis=3).reshape(len(nibbles), -1)


def _integers(numbers: Floats | None, supers: Floats | None) -> Floats:
    """The integers [out, in/256, groups] that times a super-factor [out, in/256] are `numbers` [out, in/g]."""
    if numbers is None or supers is None:
        raise ValueError("the blocks lack an array that their grid has")
    grouped = numbers.reshape(*supers.shape, -1)
    below = supers[:, :, None]
    return np.rint(np.divide(grouped, below, out=np.zeros_like(grouped), where=below != 0))


def _factors(blocks: Blocks) -> Bytes:
    """The 6-bit factors of 8 groups' scales and minimums in 12 bytes: the upper two bits of the last four apart."""
    k = _integers(blocks.scales, blocks.super_scales).astype(np.uint8)
    minimums = None if blocks.minimums is None else -blocks.minimums
    km = _integers(minimums, blocks.super_minimums).astype(np.uint8)
    first = [each[..., :4] | each[..., 4:] >> 4 << 6 for each in (k, km)]
    return np.concatenate([*first, k[..., 4:] & 15 | (km[..., 4:] & 15) << 4], axis=2)


def _from_factors(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The inverse of `_factors`: [out, in/256, 8] for scales and for minimums."""
    of_scales, of_minimums, last = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    k = np.concatenate([of_scales & 63, last & 15 | of_scales >> 6 << 4], axis=2)
    return k, np.concatenate([of_minimums & 63, last >> 4 | of_minimums >> 6 << 4], axis=2)


def _affine(cells: Bytes, unsigned: Bytes, grid: str) -> Blocks:
    out = len(cells)
    d, dm = from_halves(cells[..., :2]), from_halves(cells[..., 2:4])
    k, km = _from_factors(cells[..., 4:16])
    scales = (d[:, :, None] * k.astype(np.float32)).reshape(out, -1)
    minimums = (-dm[:, :, None] * km.astype(np.float32)).reshape(out, -1)
    return Blocks(unsigned.view(np.int8), scales, grid, minimums, d, dm)
