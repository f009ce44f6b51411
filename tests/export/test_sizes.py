"""Sizes that are predicted are those of the files that are then built."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint, open_outline
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.export.sizes import Sizes, frame_of, sizes_under
from smolship.quantize import RECIPES, QuantizedModel
from smolship.quantize.coverage import bits_per_weight

GRAPH_SLACK = 2000
"""bytes that a tiny graph may be off by: 1 % of the tiny file itself; that of 135M is off by 5 kB in 91 MB"""


def predicted(spec: Path, recipe: str, fmt: str, context: int) -> Sizes:
    """By the outline alone."""
    model = open_outline(str(spec))
    return sizes_under(model, RECIPES[recipe], frame_of(model, FORMATS[fmt], context))


def built(checkpoint: Checkpoint, recipe: str, fmt: str, context: int, folder: Path) -> tuple[int, int]:
    """Bytes of the model file, and of the files beside it."""
    folder.mkdir()
    FORMATS[fmt].load().pack(QuantizedModel(checkpoint, RECIPES[recipe]), folder, context)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    model = sizes.pop(FORMATS[fmt].model_file)
    return model, sum(sizes.values())


SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "base": {"instruct": False},
    "wide": {"hidden_size": 96, "intermediate_size": 224, "num_attention_heads": 6, "num_key_value_heads": 6},
    "deep": {"num_hidden_layers": 12},
}


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of some shape."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("sizes") / request.param, **SHAPES[request.param])


@pytest.mark.parametrize("recipe", RECIPES)
def test_gguf_is_predicted_to_the_byte(folder: Path, recipe: str, tmp_path: Path) -> None:
    for context in (64, 8192):
        sizes = predicted(folder, recipe, "gguf", context)
        found = built(open_checkpoint(str(folder)), recipe, "gguf", context, tmp_path / str(context))
        assert (sizes.model, sizes.others) == found


@pytest.mark.parametrize(("shape", "recipe"), [("tiny", "q4"), ("tiny", "q8"), ("wide", "q4-e8")])
def test_the_graph_of_onnx_is_predicted(shape: str, recipe: str, tmp_path: Path) -> None:
    """Heads with key-value heads of their own, and shared ones; test_end_to_end.py has thirty layers."""
    folder = write_tiny_checkpoint(tmp_path / shape, **SHAPES[shape])
    sizes = predicted(folder, recipe, "onnx", 256)
    model, others = built(open_checkpoint(str(folder)), recipe, "onnx", 256, tmp_path / "onnx")
    assert abs(sizes.model - model) <= max(GRAPH_SLACK, model // 100)
    assert sizes.others == others


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_bits_a_weight_are_those_of_the_coverage_table(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, recipe: str, fmt: str
) -> None:
    model = QuantizedModel(tiny_checkpoint, RECIPES[recipe])
    if (recipe, fmt) == ("q4_0", "executorch"):
        with pytest.raises(InputError, match="asks for q4_0, which executorch does not have"):
            predicted(tiny_folder, recipe, fmt, 256)
        return
    sizes = predicted(tiny_folder, recipe, fmt, 256)
    bits = 8 * sizes.weights / tiny_checkpoint.architecture.parameters
    assert bits == pytest.approx(bits_per_weight(model.coverage(fmt)), abs=1e-9)


def test_a_row_that_a_group_does_not_divide_names_the_tensor(tmp_path: Path) -> None:
    odd = write_tiny_checkpoint(tmp_path / "odd", intermediate_size=144)
    assert predicted(odd, "q8", "executorch", 256).model > 0
    with pytest.raises(InputError, match=r"layers\.0\.mlp\.down_proj\.weight: rows of 144 weights"):
        predicted(odd, "q8", "gguf", 256)


def test_weights_need_not_be_there_nor_anything_that_packing_needs(tiny_folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / tiny_folder.name
    bare.mkdir()
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (bare / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        open_checkpoint(str(bare))
    heavy = sorted({name for line in FORMATS.values() for name in line.needs} - {"gguf"} | {"llama_cpp", "onnxruntime"})
    program = f"import sys; sys.modules.update(dict.fromkeys({heavy})); from smolship.cli import main; main()"
    command = [sys.executable, "-c", program, "plan", str(bare), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"})
    assert ended.returncode == 0, ended.stderr
    assert f'"model_size": {predicted(tiny_folder, "q8", "onnx", 2048).model}' in ended.stdout
