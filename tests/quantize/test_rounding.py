"""Rounding: byte for byte with llama.cpp where it is llama.cpp's, never worse than plain scales where it is ours."""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from smolship.export.gguf import pack_q4_0, pack_q8_0, unpack_q4_0, unpack_q8_0
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import GRIDS, Grid, encode, grid_named, round_scale
from smolship.quantize.rounding import LlamaCppRounding, NearestRounding

Q4_0, Q8_0 = 2, 8  # enum ggml_type


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
    ]  # fmt: skip
    return library


def quantize_in_c(ggml: ctypes.CDLL, kind: int, weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    rows, columns = weight.shape
    cell = {Q4_0: 18, Q8_0: 34}[kind]
    out = np.zeros((rows, columns // 32 * cell), np.uint8)
    written = ggml.ggml_quantize_chunk(kind, weight.ctypes.data, out.ctypes.data, 0, rows, columns, None)
    assert written == out.nbytes
    return out


def dequantize_in_c(ggml: ctypes.CDLL, function: str, raw: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    out = np.zeros(count, np.float32)
    getattr(ggml, function)(ctypes.c_void_p(raw.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(count))
    return out


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


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_rounding_has_the_bytes_of_the_c_library(ggml: ctypes.CDLL, kind: str) -> None:
    weight = weights(kind)
    blocks = LlamaCppRounding().round("w", weight, grid_named("q4_0"))
    assert np.array_equal(pack_q4_0(blocks), quantize_in_c(ggml, Q4_0, weight))


@pytest.mark.parametrize("kind", KINDS)
def test_packed_blocks_dequantise_in_c_to_what_blocks_say(ggml: ctypes.CDLL, kind: str) -> None:
    weight = weights(kind)
    four = NearestRounding().round("w", weight, grid_named("int4-b32"))
    eight = NearestRounding().round("w", weight, grid_named("int8-b32"))
    of_four = dequantize_in_c(ggml, "dequantize_row_q4_0", pack_q4_0(four), weight.size)
    of_eight = dequantize_in_c(ggml, "dequantize_row_q8_0", pack_q8_0(eight), weight.size)
    assert np.array_equal(of_four.reshape(weight.shape), four.dequantize())
    assert np.array_equal(of_eight.reshape(weight.shape), eight.dequantize())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int4-b32", "q4_0", "int8-b32"])
def test_unpacking_gives_the_blocks_back(kind: str, name: str) -> None:
    rounding = LlamaCppRounding() if name == "q4_0" else NearestRounding()
    blocks = rounding.round("w", weights(kind), grid_named(name))
    back = unpack_q8_0(pack_q8_0(blocks)) if name == "int8-b32" else unpack_q4_0(pack_q4_0(blocks))
    assert np.array_equal(back.codes, blocks.codes)
    assert np.array_equal(back.scales, blocks.scales)
    assert back.grid == name


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
