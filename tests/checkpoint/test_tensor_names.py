"""Names of tensors as training tools leave them, and what the index says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_sentence import assert_one_sentence
from tiny import tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError

SAFE = "model.safetensors"
INDEX = "model.safetensors.index.json"
RENAMED: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "torch.compile": (lambda name: f"_orig_mod.{name}", ("'_orig_mod'",)),
    "a compiled layer": (lambda name: name.replace(".mlp.", "._orig_mod.mlp."), ("'_orig_mod'",)),
    "DataParallel": (lambda name: f"module.{name}", ("'module.'",)),
    "both": (lambda name: f"module._orig_mod.{name}", ("'_orig_mod'", "'module.'")),
    "FSDP": (lambda name: f"_fsdp_wrapped_module.{name}", ("'_fsdp_wrapped_module'",)),
    "a class that holds it": (lambda name: f"model.{name}", ("'model.'",)),
    "a LlamaModel": (lambda name: name.removeprefix("model."), ("lack 'model.'",)),
    "a wrapped LlamaModel": (lambda name: "module." + name.removeprefix("model."), ("'module.'", "lack 'model.'")),
}


@pytest.mark.parametrize("case", RENAMED)
def test_names_with_one_meaning_are_taken_and_said(tmp_path: Path, case: str) -> None:
    rename, said = RENAMED[case]
    folder = write_tiny_checkpoint(tmp_path)
    weights = tiny_weights(tiny_config())
    write_safetensors(folder / SAFE, {rename(name): weight for name, weight in weights.items()})
    checkpoint = open_checkpoint(str(folder))
    for name, weight in weights.items():
        np.testing.assert_array_equal(checkpoint.tensors.read(name), weight)
    assert len(checkpoint.notes) == len(said)
    assert all(part in note for part, note in zip(said, checkpoint.notes, strict=True))


OTHER_NAMES: dict[str, tuple[Callable[[str], str], str]] = {
    "unmerged": (
        lambda name: f"base_model.model.{name}".replace("_proj.", "_proj.base_layer."),
        "as PEFT names the tensors of a model whose adapter is not merged: save what model.merge_and_unload",
    ),
    "without its layers": (lambda name: f"base_model.model.{name}", "whose adapter is not merged"),
    "another wrapper": (lambda name: f"llm.{name}", r"names its tensors llm\.model\.…, .* inside it, llm, by itself"),
    "Meta's": (
        lambda name: name.removeprefix("model.").replace("embed_tokens", "tok_embeddings"),
        "which is Meta's layout, wanted that of transformers",
    ),
    "a prefix of some": (
        lambda name: f"module.{name}" if ".0." in name else name,
        r"has no tensor model\.layers\.0\.",
    ),
}


@pytest.mark.parametrize("case", OTHER_NAMES)
def test_names_with_another_meaning(tmp_path: Path, case: str) -> None:
    rename, sentence = OTHER_NAMES[case]
    folder = write_tiny_checkpoint(tmp_path)
    write_safetensors(folder / SAFE, {rename(name): weight for name, weight in tiny_weights(tiny_config()).items()})
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(folder))
    assert_one_sentence(caught.value)


def test_a_llama_model_saved_by_itself(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaModel

    folder = write_tiny_checkpoint(tmp_path)
    model: Any = LlamaModel(LlamaConfig(**tiny_config()))
    model.save_pretrained(folder)
    checkpoint = open_checkpoint(str(folder))
    wanted = model.layers[1].self_attn.k_proj.weight.detach().float().numpy()
    np.testing.assert_array_equal(checkpoint.tensors.read("model.layers.1.self_attn.k_proj.weight"), wanted)
    assert len(checkpoint.notes) == 1


def test_two_tensors_of_one_name(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    twice = tiny_weights(tiny_config()) | {"_orig_mod.model.norm.weight": np.ones(64, np.float32)}
    write_safetensors(folder / SAFE, twice)
    with pytest.raises(InputError, match=r"holds model\.norm\.weight twice, once as"):
        open_checkpoint(str(folder))


def test_a_single_file_wins_over_an_index_as_in_transformers(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    folder = write_tiny_checkpoint(tmp_path, shards=2)
    single = tiny_weights(tiny_config(), seed=1)
    write_safetensors(folder / SAFE, single)
    checkpoint = open_checkpoint(str(folder))
    theirs = LlamaForCausalLM.from_pretrained(folder).state_dict()
    for name in ("model.norm.weight", "model.layers.1.mlp.up_proj.weight"):
        np.testing.assert_array_equal(checkpoint.tensors.read(name), single[name])
        np.testing.assert_array_equal(checkpoint.tensors.read(name), theirs[name].float().numpy())
    assert checkpoint.notes == (f"{SAFE} and {INDEX} are both there: {SAFE} is taken, as transformers does",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda where: {**where, "model.norm.weight": other(where)}, r"has model\.norm\.weight in .*does not hold it"),
        (lambda where: {**where, "lm_head.weight": other(where)}, r"has lm_head\.weight in .*does not hold it"),
        (lambda where: {k: v for k, v in where.items() if "norm" not in k}, "layernorm.weight, which .* not at all"),
    ],
)
def test_an_index_that_differs_from_its_files(
    tmp_path: Path, change: Callable[[dict[str, str]], dict[str, str]], sentence: str
) -> None:
    folder = write_tiny_checkpoint(tmp_path, shards=2)
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps({"weight_map": change(index["weight_map"])}))
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(folder))
    assert_one_sentence(caught.value)


def other(where: dict[str, str]) -> str:
    """A file that does not hold the final norm."""
    return next(file for file in where.values() if file != where["model.norm.weight"])
