"""Scalings: what C reads in our bytes is what we say, errors are not larger than C's, importances count."""

import ctypes
from functools import cache

import ggml
import numpy as np
import pytest
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.export.gguf.types import TYPES, type_of
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import GRIDS, Grid, decode_with, encode_with, fit, grid_named, round_scale
from smolship.quantize.rounding import NearestRounding

COLUMNS = 512
IN_GGUF = [grid for line in TYPES.values() for grid in line.grids]
OF_C = [name for name in IN_GGUF if name != "int4-b32"]
"""the grids that C can round to: the shared grid's scales are ours alone"""


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ggml.load()


def weights() -> dict[str, NDArray[np.float32]]:
    """Kinds of weights, 8 rows each."""
    random = np.random.default_rng(11)
    normal = random.standard_normal((8, COLUMNS)) * 0.05
    table = {
        "normal": normal,
        "heavy tails": normal**3 * 400,
        "shifted": normal + 0.03,
        "on a grid": np.round(normal * 80).clip(-8, 7) * 0.00625,
        "tiny": normal * 1e-3,
        "zero blocks": np.where(np.arange(COLUMNS) % 64 < 32, 0, normal),
        "all zero": np.zeros_like(normal),
        "flat": np.full_like(normal, 0.07),
    }
    return {kind: weight.astype(np.float32) for kind, weight in table.items()}


WEIGHTS = weights()
NORMAL = WEIGHTS["normal"]
EVERY = np.concatenate(list(WEIGHTS.values()))
IMPORTANCE = np.exp(1.5 * np.random.default_rng(5).standard_normal(COLUMNS)).astype(np.float32)


def error(
    weight: NDArray[np.float32], rounded: NDArray[np.float32], importance: NDArray[np.float32] | None = None
) -> float:
    squares = (weight - rounded).astype(np.float64) ** 2
    return float((squares if importance is None else squares * importance).sum())


def same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


@cache
def rounded(name: str) -> Blocks:
    """`EVERY` on a grid."""
    return NearestRounding().round("w", EVERY, grid_named(name))


@pytest.mark.parametrize("name", IN_GGUF)
def test_c_reads_in_our_bytes_what_the_blocks_say(library: ctypes.CDLL, name: str) -> None:
    line, blocks = type_of("w", name), rounded(name)
    raw = line.pack(blocks)
    assert same_bits(ggml.dequantize(library, line.name, raw, COLUMNS), blocks.dequantize())
    assert line.unpack(raw).same_as(blocks)


@pytest.mark.parametrize("name", OF_C)
def test_c_s_own_bytes_are_unpacked_and_packed_again(library: ctypes.CDLL, name: str) -> None:
    line = type_of("w", name)
    raw = ggml.quantize(library, line.name, EVERY)
    blocks = line.unpack(raw)
    assert np.array_equal(line.pack(blocks), raw)
    assert same_bits(ggml.dequantize(library, line.name, raw, COLUMNS), blocks.dequantize())


@pytest.mark.parametrize("importance", [None, IMPORTANCE], ids=["plain", "weighed"])
@pytest.mark.parametrize("name", OF_C)
def test_the_search_errs_no_more_than_c_s(
    library: ctypes.CDLL, name: str, importance: NDArray[np.float32] | None
) -> None:
    line = type_of("w", name)
    ours = NearestRounding().round("w", EVERY, grid_named(name), importance).dequantize()
    of_c = ggml.dequantize(library, line.name, ggml.quantize(library, line.name, EVERY, importance), COLUMNS)
    for index, (kind, weight) in enumerate(WEIGHTS.items()):
        rows = slice(8 * index, 8 * index + 8)
        if kind != "flat":  # one number for all: which float16 product comes nearer to it is luck
            assert error(weight, ours[rows], importance) <= error(weight, of_c[rows], importance), kind


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_importances_lower_the_error_that_they_weigh(grid: Grid) -> None:
    weight = WEIGHTS["heavy tails"]
    plain, weighed = (NearestRounding().round("w", weight, grid, i) for i in (None, IMPORTANCE))
    lower = error(weight, weighed.dequantize(), IMPORTANCE)
    assert lower < error(weight, plain.dequantize(), IMPORTANCE)
    by_row = NearestRounding().round("w", weight, grid, np.broadcast_to(IMPORTANCE, weight.shape))
    assert by_row.same_as(weighed)
    for level in (0, 1):  # where nothing matters, everything does alike
        assert NearestRounding().round("w", weight, grid, np.full(COLUMNS, level, np.float32)).same_as(plain)


def with_zero_points(weight: NDArray[np.float32]) -> Blocks:
    """The textbook rounding: the range, with zero in it, from the first code to the last."""
    groups = weight.reshape(-1, 32)
    low, high = np.minimum(groups.min(axis=1), 0), np.maximum(groups.max(axis=1), 0)
    grid = grid_named("uint4-b32")
    s = round_scale((high - low) / 15, grid.scale_format)
    z = np.rint(-low / s)
    codes = np.clip(np.rint(groups / s[:, None]) + z[:, None], 0, 15).astype(np.int8)
    shape = len(weight), -1
    return Blocks(codes.reshape(shape), s.reshape(shape), grid.name, (-z * s).reshape(shape))


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "shifted"])
def test_the_search_for_zero_points_errs_less_than_the_range_does(kind: str) -> None:
    weight = WEIGHTS[kind]
    ours = NearestRounding().round("w", weight, grid_named("uint4-b32")).dequantize()
    assert error(weight, ours) < 0.95 * error(weight, with_zero_points(weight).dequantize())


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_every_number_is_one_of_its_grid(grid: Grid) -> None:
    blocks = rounded(grid.name)
    assert blocks.codes.min() >= grid.low
    assert blocks.codes.max() <= grid.high
    assert (blocks.minimums is not None) == grid.affine
    stored = blocks.scales if grid.super_group is None else blocks.super_scales
    assert stored is not None
    assert np.array_equal(round_scale(stored, grid.scale_format), stored)
    assert np.isfinite(blocks.dequantize()).all()
    if grid.super_group is not None:
        factors = blocks.scales / np.where(stored == 0, 1, stored).repeat(grid.super_group // blocks.group_size, axis=1)
        assert np.array_equal(factors, np.rint(factors))
        assert factors.min() >= grid.factor_low
        assert factors.max() <= grid.factor_high


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_columns_are_encoded_one_at_a_time_as_all_at_once(grid: Grid) -> None:
    scaling, blocks = fit(EVERY, grid), rounded(grid.name)
    weight = blocks.dequantize()
    assert np.array_equal(encode_with(EVERY, scaling), blocks.codes)
    assert same_bits(decode_with(blocks.codes, scaling), weight)
    for column in (0, 31, 32, 300, COLUMNS - 1):
        one = encode_with(EVERY[:, column : column + 1], scaling, column)
        assert np.array_equal(one[:, 0], blocks.codes[:, column])
        assert np.array_equal(decode_with(one, scaling, column)[:, 0], weight[:, column])


def test_rows_that_super_blocks_do_not_divide_are_refused_by_tensor() -> None:
    with pytest.raises(InputError, match=r"o_proj\.weight: rows of 576 weights .* super-blocks of 256 that grid q4_k"):
        NearestRounding().round("o_proj.weight", np.zeros((2, 576), np.float32), grid_named("q4_k"))


BITS = {
    "int4-b32": 4.5, "int8-b32": 8.5, "int8-row": 8 + 32 / 1536, "q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0,
    "iq4_nl": 4.5, "q4_k": 4.5, "q5_k": 5.5, "q6_k": 6.5625, "uint4-b32": 4.625,
}  # fmt: skip


def test_bits_are_those_of_the_stored_bytes() -> None:
    assert {name: grid.bits_per_weight(1536) for name, grid in GRIDS.items()} == BITS
    for name in IN_GGUF:
        raw = type_of("w", name).pack(NearestRounding().round("w", NORMAL, grid_named(name)))
        assert raw.shape[1] * 8 / COLUMNS == BITS[name]
    assert grid_named("uint4-b32").bits_per_weight(96) == 4 + (3 * 16 + 2 * 8) / 96  # three zero points in two bytes
