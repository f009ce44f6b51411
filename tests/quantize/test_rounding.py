"""Rounding: byte for byte with llama.cpp where it is llama.cpp's, never worse than plain scales where it is ours."""

import ctypes

import ggml
import numpy as np
import pytest
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.export.gguf.types import type_of
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import GRIDS, Grid, encode, grid_named, round_scale
from smolship.quantize.rounding import LlamaCppRounding, NearestRounding


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ggml.load()


def weights(kind: str) -> NDArray[np.float32]:
    random = np.random.default_rng(7)
    normal = random.standard_normal((48, 256)).astype(np.float32)
    table = {
        "normal": normal,
        "heavy tails": (normal**3).astype(np.float32),
        "tiny": normal * np.float32(1e-4),
        "on a grid": np.round(normal * 4).clip(-8, 7).astype(np.float32) * np.float32(0.125),
        "zero blocks": np.where(np.arange(256) % 64 < 32, 0, normal).astype(np.float32),
    }
    return table[kind]


KINDS = ["normal", "heavy tails", "tiny", "on a grid", "zero blocks"]


REFERENCES = ["q4_0", "q4_1", "q5_0", "q5_1", "int8-b32"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFERENCES)
def test_llama_cpp_rounding_has_the_bytes_of_the_c_library(library: ctypes.CDLL, kind: str, name: str) -> None:
    weight = weights(kind)
    blocks = LlamaCppRounding().round("w", weight, grid_named(name))
    kind_of_tensor = type_of("w", name)
    assert np.array_equal(kind_of_tensor.pack(blocks), ggml.quantize(library, kind_of_tensor.name, weight))


def test_llama_cpp_rounding_lists_the_grids_that_it_has() -> None:
    with pytest.raises(InputError, match=r"layer\.weight: .* q4_0, q4_1, q5_0, q5_1, int8-b32, not for iq4_nl"):
        LlamaCppRounding().round("layer.weight", weights("normal"), grid_named("iq4_nl"))


def squared_error(weight: NDArray[np.float32], blocks: Blocks) -> float:
    return float(((weight - blocks.dequantize()) ** 2).sum())


def plain(weight: NDArray[np.float32], grid: Grid) -> Blocks:
    """The textbook rounding: the largest magnitude falls on the largest code."""
    size = grid.group_of("w", weight.shape[1])
    groups = weight.reshape(-1, size)
    scales = round_scale(np.abs(groups).max(axis=1) / np.float32(grid.high), grid.scale_format)
    codes = encode(groups, scales, grid)
    return Blocks(codes.reshape(weight.shape), scales.reshape(len(weight), -1), grid.name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int4-b32", "int8-b32", "int8-row"])
def test_the_scale_search_is_never_worse_than_plain_rounding(kind: str, name: str) -> None:
    weight, grid = weights(kind), grid_named(name)
    searched, textbook = NearestRounding().round("w", weight, grid), plain(weight, grid)
    # The search minimises in float32; summing in another order moves the last digits.
    assert squared_error(weight, searched) <= squared_error(weight, textbook) * 1.0001


def test_the_scale_search_takes_a_tenth_off_the_error_of_normal_weights() -> None:
    weight, grid = weights("normal"), grid_named("int4-b32")
    assert squared_error(weight, NearestRounding().round("w", weight, grid)) < 0.9 * squared_error(
        weight, plain(weight, grid)
    )


@pytest.mark.parametrize("name", ["int4-b32", "int8-b32", "int8-row"])
def test_codes_and_scales_keep_to_their_grid(name: str) -> None:
    grid = GRIDS[name]
    blocks = NearestRounding().round("w", weights("heavy tails"), grid)
    assert blocks.codes.min() >= grid.low
    assert blocks.codes.max() <= grid.high
    assert np.array_equal(round_scale(blocks.scales, grid.scale_format), blocks.scales)
    assert blocks.group_size == (grid.group_size or 256)


def test_a_zero_block_gets_codes_of_zero_and_the_smallest_scale() -> None:
    blocks = NearestRounding().round("w", np.zeros((2, 64), np.float32), grid_named("int4-b32"))
    assert not blocks.codes.any()
    assert (blocks.scales == 2.0**-14).all()


def test_a_zero_row_gets_codes_of_zero_and_a_positive_scale() -> None:
    weight = weights("normal")
    weight[5] = 0
    blocks = NearestRounding().round("w", weight, grid_named("int8-row"))
    assert not blocks.codes[5].any()
    assert (blocks.scales >= 2.0**-60).all()
    assert not blocks.dequantize()[5].any()


def test_weights_on_the_shared_grid_are_kept_exactly() -> None:
    weight = weights("on a grid")
    assert np.array_equal(NearestRounding().round("w", weight, grid_named("int4-b32")).dequantize(), weight)
