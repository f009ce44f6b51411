"""Grids: scales are what the runtimes can hold, codes are the nearest, and a group that does not divide is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smolship.errors import InputError
from smolship.quantize.formats import FORMAT_GRIDS, grid_for
from smolship.quantize.grids import GRIDS, ScaleFormat, encode, grid_named, round_scale

positive = st.floats(min_value=2.0**-14, max_value=60000.0, width=32)


@given(st.lists(positive, min_size=1, max_size=50))
def test_shared_scales_survive_bfloat16_and_float16(values: list[float]) -> None:
    scales = round_scale(np.array(values, np.float32), ScaleFormat.BFLOAT16_IN_FLOAT16)
    tensor = torch.from_numpy(scales)
    assert (scales >= 2.0**-14).all()
    assert torch.equal(tensor.to(torch.bfloat16).float(), tensor)
    assert torch.equal(tensor.to(torch.float16).float(), tensor)


@given(st.lists(positive, min_size=1, max_size=50))
def test_shared_scales_round_as_torch_rounds_to_bfloat16(values: list[float]) -> None:
    exact = np.array(values, np.float32)
    assert np.array_equal(
        round_scale(exact, ScaleFormat.BFLOAT16_IN_FLOAT16), torch.from_numpy(exact).to(torch.bfloat16).float().numpy()
    )


@pytest.mark.parametrize("value", [0.0, 1e-30, -1.0])
def test_a_scale_too_small_becomes_the_smallest_normal_one(value: float) -> None:
    assert round_scale(np.array([value], np.float32), ScaleFormat.BFLOAT16_IN_FLOAT16)[0] == 2.0**-14


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e-30, -1.0])
def test_a_float32_scale_is_positive_and_normal(value: float) -> None:
    assert round_scale(np.array([value], np.float32), ScaleFormat.FLOAT32)[0] == 2.0**-60


def test_codes_are_the_nearest_and_clipped() -> None:
    grid = grid_named("int4-b32")
    groups = np.array([[-100.0, -8.4, 0.5, 1.5, 2.6, 7.4, 100.0]], np.float32)
    assert encode(groups, np.array([1.0], np.float32), grid).tolist() == [[-8, -8, 0, 2, 3, 7, 7]]


@pytest.mark.parametrize("grid", [grid for grid in GRIDS.values() if grid.group_size], ids=lambda grid: grid.name)
def test_a_group_that_does_not_divide_a_row_is_refused_by_tensor(grid: object) -> None:
    with pytest.raises(InputError, match=r"model\.layers\.3\.mlp\.down_proj\.weight: rows of 100 "):
        grid.group_of("model.layers.3.mlp.down_proj.weight", 100)  # type: ignore[attr-defined]


def test_every_grid_of_the_format_table_exists() -> None:
    for fmt, widths in FORMAT_GRIDS.items():
        for width in widths:
            assert grid_for("w", width, fmt).name in GRIDS


def test_a_width_that_a_format_lacks_is_refused_and_the_others_listed() -> None:
    with pytest.raises(
        InputError, match=r"w: the recipe asks for q4_0, which executorch does not have; it has int4, int8"
    ):
        grid_for("w", "q4_0", "executorch")


def test_an_unknown_grid_or_format_lists_the_known() -> None:
    with pytest.raises(InputError, match="int4-b32"):
        grid_named("int5")
    with pytest.raises(InputError, match="gguf, onnx, executorch"):
        grid_for("w", "int4", "coreml")
