"""Quantise once: formats on the same grid share their blocks, and every tensor is on the coverage table."""

import dataclasses

import numpy as np
import pytest

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.errors import InputError
from smolship.quantize import RECIPES, quantize
from smolship.quantize.coverage import bits_per_weight
from smolship.quantize.formats import FORMAT_GRIDS

FORMATS = tuple(FORMAT_GRIDS)


def test_formats_on_the_same_grid_get_the_very_same_blocks(tiny_checkpoint: Checkpoint) -> None:
    model = quantize(tiny_checkpoint, "q4", FORMATS)
    for name in model.matrices():
        assert model.blocks(name, "gguf") is model.blocks(name, "onnx")
        assert model.blocks(name, "gguf") is model.blocks(name, "executorch")


@pytest.mark.parametrize("recipe", ["q8", "q4", "q4-e8"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_tensor_is_on_the_coverage_table(tiny_checkpoint: Checkpoint, recipe: str, fmt: str) -> None:
    coverage = quantize(tiny_checkpoint, recipe, (fmt,)).coverage(fmt)
    assert {line.tensor: line.shape for line in coverage} == tiny_checkpoint.architecture.shapes()
    for line in coverage:
        assert (line.grid == "float32") == (len(line.shape) == 1)
        assert line.relative_error < (0.15 if line.grid == "int4-b32" else 0.02)


@pytest.mark.parametrize(
    ("recipe", "fmt", "linear", "embedding"),
    [
        ("q8", "gguf", "int8-b32", "int8-b32"),
        ("q8", "executorch", "int8-row", "int8-row"),
        ("q4", "onnx", "int4-b32", "int4-b32"),
        ("q4-e8", "onnx", "int4-b32", "int8-b32"),
        ("q4-e8", "executorch", "int4-b32", "int8-row"),
    ],
)
def test_recipes_put_each_kind_of_tensor_on_its_grid(
    tiny_checkpoint: Checkpoint, recipe: str, fmt: str, linear: str, embedding: str
) -> None:
    grids = {line.tensor: line.grid for line in quantize(tiny_checkpoint, recipe, (fmt,)).coverage(fmt)}
    assert grids.pop(EMBEDDING) == embedding
    assert set(grids.values()) == {linear, "float32"}


def test_bits_per_weight_counts_codes_and_scales(tiny_checkpoint: Checkpoint) -> None:
    model = quantize(tiny_checkpoint, "q4", ("gguf",))
    matrices = sum(model.blocks(name, "gguf").codes.size for name in model.matrices())
    vectors = sum(model.floats(name).size for name in model.vectors())
    expected = (matrices * 4.5 + vectors * 32) / (matrices + vectors)
    assert bits_per_weight(model.coverage("gguf")) == pytest.approx(expected)


def test_a_recipe_that_a_format_cannot_honour_names_the_tensor(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match=EMBEDDING):
        quantize(tiny_checkpoint, "q4_0", ("gguf", "executorch"))


def test_a_row_that_the_group_does_not_divide_names_the_tensor(tiny_checkpoint: Checkpoint) -> None:
    narrow = dataclasses.replace(tiny_checkpoint.architecture, intermediate=100)
    with pytest.raises(InputError, match=r"mlp\.down_proj\.weight: rows of 100"):
        quantize(dataclasses.replace(tiny_checkpoint, architecture=narrow), "q4", ("gguf",))


def test_an_unknown_recipe_lists_the_known(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match=", ".join(RECIPES)):
        quantize(tiny_checkpoint, "q3", ("gguf",))


def test_quantising_twice_gives_the_same_integers(tiny_checkpoint: Checkpoint) -> None:
    first, second = (quantize(tiny_checkpoint, "q4-e8", ("onnx",)) for _ in range(2))
    for name in first.matrices():
        assert np.array_equal(first.blocks(name, "onnx").codes, second.blocks(name, "onnx").codes)
        assert np.array_equal(first.blocks(name, "onnx").scales, second.blocks(name, "onnx").scales)
