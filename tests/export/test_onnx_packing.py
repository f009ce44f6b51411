"""Codes and zero points in the operators' bytes and back, and what the operators cannot hold."""

import numpy as np
import pytest
from tiny_graphs import blocks

from smolship.errors import InputError
from smolship.export.onnx.packing import (
    GRID_BITS,
    half_scales,
    pack_codes,
    pack_zero_points,
    packed_shape,
    unpack_codes,
    unpack_minimums,
)
from smolship.quantize import Blocks


@pytest.mark.parametrize("grid", GRID_BITS)
def test_codes_unpack_to_what_was_packed(grid: str) -> None:
    original = blocks(grid)
    packed = pack_codes(original)
    assert packed.shape == packed_shape("w", original) == (96, 2, 32 * GRID_BITS[grid] // 8)
    np.testing.assert_array_equal(unpack_codes(packed, grid), original.codes)


@pytest.mark.parametrize("row", [64, 96])
def test_zero_points_unpack_to_what_was_packed(row: int) -> None:
    original = blocks("uint4-b32", row=row)
    packed = pack_zero_points("w", original)
    assert packed is not None
    assert packed.shape == (96, 1 if row == 64 else 2)
    assert original.minimums is not None
    np.testing.assert_array_equal(unpack_minimums(packed, original.scales), original.minimums)
    assert pack_zero_points("w", blocks("int4-b32")) is None


def test_what_the_operators_cannot_hold_is_refused_by_name() -> None:
    good = blocks("int4-b32")
    with pytest.raises(InputError, match=r"layer\.weight: grid int8-row has no ONNX form"):
        packed_shape("layer.weight", Blocks(good.codes, good.scales, "int8-row"))
    with pytest.raises(InputError, match=r"layer\.weight: 96 rows of 64 weights with scales \(96, 4\)"):
        packed_shape("layer.weight", Blocks(good.codes, np.ones((96, 4), np.float32), "int4-b32"))
    with pytest.raises(InputError, match=r"layer\.weight: a scale of grid int4-b32 is not exact in float16"):
        half_scales("layer.weight", Blocks(good.codes, good.scales + np.float32(1e-5), "int4-b32"))
    minimum = np.full_like(good.scales, 0.3)
    with pytest.raises(InputError, match=r"layer\.weight: a minimum of grid uint4-b32 is no zero point"):
        pack_zero_points("layer.weight", Blocks(good.codes, good.scales, "uint4-b32", minimum))
