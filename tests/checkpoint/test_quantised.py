"""Checkpoints that are quantised already: by what, and what to give instead."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_sentence import assert_one_sentence
from tiny import tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint, open_outline
from smolship.errors import InputError

SAFE = "model.safetensors"
METHODS = (
    "bitsandbytes",
    "gptq",
    "awq",
    "compressed-tensors",
    "fp8",
    "torchao",
    "hqq",
    "aqlm",
    "eetq",
    "quanto",
    "new",
)


@pytest.mark.parametrize("method", METHODS)
def test_quantised_by_what_the_config_says(tmp_path: Path, method: str) -> None:
    folder = saved(tmp_path, {"model.layers.0.mlp.up_proj.weight": np.zeros((4, 1), np.float32)}, dtype="uint8")
    edit_config(folder, quantization_config={"quant_method": method, "bits": 4})
    for opened in (open_checkpoint, open_outline):
        with pytest.raises(InputError, match=rf"is quantised already by (?i:{method}) .*quantization_config") as caught:
            opened(str(folder))
        assert_one_sentence(caught.value)


def test_other_spellings_of_a_quantised_config(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    (folder / SAFE).unlink()
    group = {"group_size": 64, "bits": 4}
    for entries, method in (
        ({"quantization": group}, "MLX"),
        ({"quantization": group, "quantization_config": group}, "MLX"),
        ({"quantization_config": {"load_in_4bit": True}}, "bitsandbytes"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization_config": {"bits": 3}}, "a method it does not name"),
    ):
        (folder / "config.json").write_text(json.dumps(tiny_config() | entries))
        with pytest.raises(InputError, match=f"quantised already by {method}"):
            open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("ends", "method"),
    [
        ((".qweight", ".qzeros", ".scales"), "GPTQ or AWQ"),
        ((".weight", ".weight.absmax", ".weight.quant_state.bitsandbytes__nf4"), "bitsandbytes"),
        ((".weight", ".SCB"), "bitsandbytes"),
        ((".weight_packed", ".weight_scale"), "compressed-tensors"),
        ((".weight", ".weight_scale_inv"), "FP8"),
        ((".W_q", ".scale"), "HQQ"),
        ((".weight", ".scales", ".biases"), "MLX"),
    ],
)
def test_quantised_by_its_tensors_where_the_config_is_silent(
    tmp_path: Path, ends: tuple[str, ...], method: str
) -> None:
    up = "model.layers.0.mlp.up_proj"
    changed = {f"{up}.weight": ..., **{up + end: np.zeros((4, 4), np.float32) for end in ends}}
    folder = saved(tmp_path, changed)
    with pytest.raises(InputError, match=rf"quantised already by {method}.* \(it holds {up}\.") as caught:
        open_checkpoint(str(folder))
    assert_one_sentence(caught.value)


def test_plain_weights_under_a_config_that_says_quantised(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    edit_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    with pytest.raises(
        InputError, match=r"holds plain weights and its config.json has quantization_config .*take that"
    ):
        open_checkpoint(str(folder))


def saved(folder: Path, changes: dict[str, Any], dtype: str = "float32") -> Path:
    """A checkpoint with other weights: `...` leaves one out."""
    changed = tiny_weights(tiny_config()) | changes
    write_tiny_checkpoint(folder)
    write_safetensors(folder / SAFE, {name: weight for name, weight in changed.items() if weight is not ...}, dtype)
    return folder


def edit_config(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))
