"""What a tensor is said to take is what it takes in the files."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.quantize import RECIPES, QuantizedModel
from smolship.quantize.fit import STORAGES, sizes_of, smallest
from smolship.quantize.formats import FORMAT_GRIDS
from smolship.quantize.grids import Grid, grid_named


@dataclass(frozen=True, eq=False)
class Assigned(QuantizedModel):
    """A model with a grid for each tensor."""

    grids: dict[str, str] = field(default_factory=dict)

    def grid(self, tensor: str, format_name: str) -> Grid:
        return grid_named(self.grids[tensor])


def assignments(sizes: dict[str, dict[str, int]]) -> list[dict[str, str]]:
    """The smallest, the largest, and two in which the tensors take turns."""
    turns = [{tensor: list(of)[(i + k) % len(of)] for i, (tensor, of) in enumerate(sizes.items())} for k in (0, 1)]
    return [smallest(sizes), {tensor: max(of, key=of.__getitem__) for tensor, of in sizes.items()}, *turns]


@pytest.mark.parametrize(
    ("fmt", "slack"),
    [
        pytest.param("gguf", 0),
        pytest.param("onnx", 5000, marks=pytest.mark.real),
        pytest.param("executorch", 4000, marks=pytest.mark.real),
    ],
)
def test_the_file_is_the_sum_of_its_tensors_and_what_is_fixed(fmt: str, slack: int, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", hidden_size=256, intermediate_size=512, num_hidden_layers=1)
    checkpoint = open_checkpoint(str(folder))
    sizes = sizes_of(checkpoint.architecture, fmt)
    assert all(set(of) == set(STORAGES[fmt].grids) for of in sizes.values())
    fixed = None
    for index, grids in enumerate(assignments(sizes)):
        place = tmp_path / str(index)
        place.mkdir()
        FORMATS[fmt].load().pack(Assigned(checkpoint, RECIPES["q8"], {}, grids), place, 256)
        found = (place / FORMATS[fmt].model_file).stat().st_size
        tensors = sum(sizes[tensor][grid] for tensor, grid in grids.items())
        fixed = found - tensors if fixed is None else fixed
        assert 0 <= fixed + tensors - found <= slack


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
