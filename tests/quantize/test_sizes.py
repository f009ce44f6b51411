"""What a tensor is said to take is what it takes in the files."""

from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.quantize import RECIPES, QuantizedModel
from smolship.quantize.fit import STORAGES, FittedModel, StandIn, alternating, sizes_of
from smolship.quantize.formats import FORMAT_GRIDS


def assignments(sizes: dict[str, dict[str, int]]) -> list[dict[str, str]]:
    """The smallest, the largest, and two in which the tensors take turns."""
    smallest = {tensor: min(of, key=of.__getitem__) for tensor, of in sizes.items()}
    turns = [{tensor: list(of)[(i + k) % len(of)] for i, (tensor, of) in enumerate(sizes.items())} for k in (0, 1)]
    return [smallest, {tensor: max(of, key=of.__getitem__) for tensor, of in sizes.items()}, *turns]


@pytest.mark.parametrize(
    ("fmt", "slack"),
    [
        pytest.param("gguf", 0),
        pytest.param("onnx", 5000, marks=pytest.mark.slow),
        pytest.param("executorch", 6000, marks=pytest.mark.slow),
    ],
)
def test_the_file_is_the_sum_of_its_tensors_and_what_is_fixed(fmt: str, slack: int, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", hidden_size=256, intermediate_size=512, num_hidden_layers=1)
    checkpoint = open_checkpoint(str(folder))
    sizes = sizes_of(checkpoint.architecture, fmt)
    assert all(set(of) == set(STORAGES[fmt].grids) for of in sizes.values())

    def packed(model: QuantizedModel, name: str) -> int:
        place = tmp_path / name
        place.mkdir()
        FORMATS[fmt].load().pack(model, place, 256)
        return (place / FORMATS[fmt].model_file).stat().st_size

    def tensors(grids: dict[str, str]) -> int:
        return sum(sizes[tensor][grid] for tensor, grid in grids.items())

    stand_in = StandIn(checkpoint, RECIPES["q8"], grids=alternating(sizes))
    fixed = packed(stand_in, "stand-in") - tensors(alternating(sizes))
    for index, grids in enumerate(assignments(sizes)):
        found = packed(FittedModel(checkpoint, RECIPES["q8"], grids=grids), str(index))
        assert 0 <= fixed + tensors(grids) - found <= slack


def test_a_grid_that_was_chosen_for_another_format_is_named(tiny_checkpoint: Checkpoint) -> None:
    model = FittedModel(
        tiny_checkpoint, RECIPES["q8"], grids=assignments(sizes_of(tiny_checkpoint.architecture, "gguf"))[0]
    )
    with pytest.raises(InputError, match=r"embed_tokens\.weight: grid q4_0 .* executorch has int4-b32, int8-row"):
        model.blocks("model.embed_tokens.weight", "executorch")


def test_only_grids_that_the_format_has_and_the_row_divides_are_weighed(tmp_path: Path) -> None:
    assert STORAGES.keys() == FORMAT_GRIDS.keys()
    for fmt, storage in STORAGES.items():
        assert set(storage.grids) <= set(FORMAT_GRIDS[fmt].values())
    architecture = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "tiny", intermediate_size=256))).architecture
    sizes = sizes_of(architecture, "gguf")
    assert "q6_k" in sizes["model.layers.0.mlp.down_proj.weight"]
    assert "q6_k" not in sizes["model.layers.0.mlp.up_proj.weight"]
    with pytest.raises(InputError, match="unknown format 'coreml': the known ones are gguf, onnx, executorch"):
        sizes_of(architecture, "coreml")
