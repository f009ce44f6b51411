"""LoRA adapters: merged as PEFT merges them, or refused in a sentence that names the cause."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from one_sentence import assert_one_sentence
from tiny import tiny_weights, write_safetensors, write_tiny_checkpoint, write_tiny_tokenizer
from tiny_adapter import CONFIG, WEIGHTS, Q, write_lora
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import EMBEDDING, HEAD, open_checkpoint, open_outline
from smolship.checkpoint.folder.safetensors_file import SafetensorsTensors, read_places
from smolship.errors import InputError

PEFT = Path(__file__).parent / "peft"
MEMBERS = sorted(path.parent.name for path in PEFT.glob("*/adapter_config.json"))
SHAPE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
UNTIED = {"embedding", "embedding-dora", "embedding-whole", "head", "head-whole", "both-whole", "resized-whole"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the members of `peft` were trained on."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("adapters") / "TinyBase", **SHAPE)


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a member that may be changed, with a tokenizer if its vocabulary was resized."""

    def copied(member: str) -> Path:
        folder = tmp_path / member
        shutil.copytree(PEFT / member, folder)
        (folder / "merged.safetensors").unlink()
        if "resized" in member:
            write_tokenizer(folder)
        return folder

    return copied


def write_tokenizer(folder: Path) -> None:
    """The tiny tokenizer with six tokens more."""
    write_tiny_tokenizer(folder)
    definition = json.loads((folder / "tokenizer.json").read_text())
    definition["added_tokens"] += [
        definition["added_tokens"][0] | {"id": 320 + i, "content": f"<tool_{i}>"} for i in range(6)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(definition))


def merged_by_peft(member: str, base: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of the whole merged model, the head's too."""
    before = SafetensorsTensors(read_places(base / "model.safetensors"))
    after = SafetensorsTensors(read_places(PEFT / member / "merged.safetensors"))
    same = {name: before.read(name) for name in before.places} | {HEAD: before.read(EMBEDDING)}
    return same | {name: after.read(name) for name in after.places}


@pytest.mark.parametrize("member", MEMBERS)
def test_an_adapter_is_a_checkpoint(member: str, base: Path, adapter: Callable[[str], Path]) -> None:
    checkpoint = open_checkpoint(str(adapter(member)), base=str(base))
    expected = merged_by_peft(member, base)
    assert checkpoint.architecture.tied is (member not in UNTIED)
    assert any("they are two now" in note for note in checkpoint.notes) is (member in UNTIED)
    assert np.allclose(expected[HEAD], expected[EMBEDDING], rtol=0, atol=1e-6) is (member not in UNTIED)
    shapes = checkpoint.architecture.shapes()
    assert shapes == {name: expected[name].shape for name in shapes}
    for name in shapes:
        np.testing.assert_allclose(checkpoint.tensors.read(name), expected[name], rtol=0, atol=1e-6, err_msg=name)
    assert checkpoint.name == member
    assert checkpoint.architecture.vocabulary == len(checkpoint.tokenizer.tokens)


def test_a_base_with_a_head_of_its_own(tmp_path: Path, adapter: Callable[[str], Path]) -> None:
    base = write_tiny_checkpoint(tmp_path / "untied", **SHAPE, tie_word_embeddings=False)
    weights = tiny_weights(json.loads((base / "config.json").read_text()))
    weights[HEAD] = weights[EMBEDDING] * np.float32(2)
    write_safetensors(base / "model.safetensors", weights)
    checkpoint = open_checkpoint(str(adapter("head")), base=str(base))
    assert not checkpoint.architecture.tied
    delta = merged_by_peft("head", base)[HEAD] - weights[EMBEDDING]
    # the member saved the head that it was trained on, and that is what its LoRA is added to
    np.testing.assert_allclose(checkpoint.tensors.read(HEAD), weights[EMBEDDING] + delta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(checkpoint.tensors.read(EMBEDDING), weights[EMBEDDING])


@pytest.mark.slow
def test_logits_are_those_of_the_merged_model(base: Path, adapter: Callable[[str], Path]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from smolship.reference import Reference

    checkpoint = open_checkpoint(str(adapter("dora")), base=str(base))
    model = LlamaForCausalLM(LlamaConfig(**json.loads((base / "config.json").read_text()))).float().eval()
    merged = merged_by_peft("dora", base)
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in merged.items()})
    ids = list(range(2, 60))
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(Reference.from_checkpoint(checkpoint).logits(ids).numpy(), expected, atol=1e-3)


def test_both_sources_are_recorded_and_decide_the_identity(
    tmp_path: Path, base: Path, adapter: Callable[[str], Path]
) -> None:
    folder = adapter("plain")
    first = open_checkpoint(str(folder), base=str(base)).source
    assert first.adapter is not None
    assert (first.kind, first.location, first.stored_as) == ("folder", "plain", "float32")
    assert first.adapter.base == open_checkpoint(str(base)).source
    edit(folder, lora_alpha=7)
    second = open_checkpoint(str(folder), base=str(base)).source
    assert second.adapter is not None
    assert second.adapter.sha256 != first.adapter.sha256
    other = write_tiny_checkpoint(tmp_path / "other", **SHAPE)
    write_safetensors(other / "model.safetensors", tiny_weights(json.loads((other / "config.json").read_text()), 1))
    third = open_checkpoint(str(folder), base=str(other)).source
    assert third.adapter is not None
    assert third.adapter.sha256 == second.adapter.sha256
    assert len({first.sha256, second.sha256, third.sha256}) == 3


def test_the_base_is_found_where_the_config_says(base: Path, adapter: Callable[[str], Path]) -> None:
    folder = adapter("plain")
    for named in (str(base), "../inside"):
        if named == "../inside":
            shutil.copytree(base, folder.parent / "inside")
        edit(folder, base_model_name_or_path=named)
        source = open_checkpoint(str(folder)).source
        assert source.adapter is not None
        assert source.adapter.base.sha256 == open_checkpoint(str(base)).source.sha256


def test_an_outline_needs_no_weights_of_the_base(tmp_path: Path, adapter: Callable[[str], Path]) -> None:
    bare = write_tiny_checkpoint(tmp_path / "bare", **SHAPE)
    (bare / "model.safetensors").unlink()
    outline = open_outline(str(adapter("resized")), base=str(bare))
    assert (outline.name, outline.architecture.vocabulary) == ("resized", 326)


def test_its_own_tokenizer_and_template_win(base: Path, adapter: Callable[[str], Path]) -> None:
    folder = adapter("plain")
    theirs = open_checkpoint(str(folder), base=str(base))
    assert theirs.tokenizer.chat_template == open_checkpoint(str(base)).tokenizer.chat_template
    write_tiny_tokenizer(folder)
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message['content'] }}{% endfor %}!")
    ours = open_checkpoint(str(folder), base=str(base))
    assert ours.tokenizer.render_chat([{"role": "user", "content": "Hello"}]) == "Hello!"
    assert ours.architecture.end_ids == theirs.architecture.end_ids


def test_a_template_without_a_tokenizer_is_passed_over_and_noted(base: Path, adapter: Callable[[str], Path]) -> None:
    folder = adapter("plain")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    checkpoint = open_checkpoint(str(folder), base=str(base))
    assert checkpoint.tokenizer.chat_template == open_checkpoint(str(base)).tokenizer.chat_template
    assert any("has chat_template.jinja and no tokenizer.json" in note for note in checkpoint.notes)


def test_the_licence_is_what_the_adapter_says(base: Path, adapter: Callable[[str], Path]) -> None:
    folder = adapter("plain")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert open_checkpoint(str(folder), base=str(base)).licence is None
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    assert open_checkpoint(str(folder), base=str(base)).licence == "mit"
    (base / "README.md").unlink()


def test_a_gguf_is_a_base_and_a_quantised_one_is_noted(tmp_path: Path) -> None:
    folder = write_lora(tmp_path / "mine")
    for storage, notes in (("F32", 0), ("Q8_0", 1)):
        path = write_tiny_gguf(tmp_path / f"tiny.{storage}.gguf", storage=storage)
        checkpoint = open_checkpoint(str(folder), base=str(path))
        name = "model.layers.0.self_attn.q_proj.weight"
        stored = SafetensorsTensors(read_places(folder / WEIGHTS))
        delta = stored.read(f"{Q}.lora_B.weight") @ stored.read(f"{Q}.lora_A.weight") * 2
        expected = open_checkpoint(str(path)).tensors.read(name) + delta
        np.testing.assert_allclose(checkpoint.tensors.read(name), expected, atol=1e-6)
        told = [note for note in checkpoint.notes if note.startswith(f"its base is quantised ({storage})")]
        assert len(told) == notes


def test_bfloat16_adapters_and_wrapped_names(tmp_path: Path, tiny_folder: Path) -> None:
    folder = write_lora(
        tmp_path / "mine", "bfloat16", lambda name: name.replace("model.layers", "_orig_mod.model.layers")
    )
    checkpoint = open_checkpoint(str(folder), base=str(tiny_folder))
    assert any("'_orig_mod'" in note for note in checkpoint.notes)
    before = open_checkpoint(str(tiny_folder)).tensors.read("model.layers.0.self_attn.q_proj.weight")
    assert not np.allclose(checkpoint.tensors.read("model.layers.0.self_attn.q_proj.weight"), before, atol=1e-3)


def test_an_adapter_beside_a_whole_model_is_taken_as_by_transformers(tmp_path: Path, tiny_folder: Path) -> None:
    folder = write_lora(tmp_path / "mine")
    shutil.copy(tiny_folder / "model.safetensors", folder)
    notes = open_checkpoint(str(folder), base=str(tiny_folder)).notes
    assert "model.safetensors lies beside the adapter: adapter and base are taken, as by transformers" in notes
    whole = write_tiny_checkpoint(tmp_path / "whole")
    shutil.copy(folder / CONFIG, whole)
    assert open_checkpoint(str(whole)).source.adapter is None


BAD_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "another type": ({"peft_type": "LOHA"}, r"is of type LOHA, wanted LORA: merge it with PEFT"),
    "prompts": ({"peft_type": "PREFIX_TUNING"}, "is of type PREFIX_TUNING, which no weights can hold"),
    "no type": ({"peft_type": None}, "is of type None, wanted LORA"),
    "a classifier": ({"task_type": "SEQ_CLS"}, "task_type 'SEQ_CLS', wanted None or 'CAUSAL_LM'"),
    "biases": ({"bias": "all"}, "bias 'all', wanted None or 'none'"),
    "biases of its own": ({"lora_bias": True}, "lora_bias True"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4', wanted .*merge it with PEFT"),
    "layers twice": ({"layer_replication": [[0, 2]]}, r"layer_replication \[\[0, 2\]\], which is not known here"),
    "from the future": ({"use_newlora": True}, "use_newlora True, which is not known here: merge it with PEFT"),
    "another rank": ({"r": 5}, r"gives model\.layers\.0\.mlp\.\w+ the rank 5, and base_model.* has 4"),
    "another rank by pattern": (
        {"rank_pattern": {"q_proj": 2}},
        r"q_proj the rank 2, and .*q_proj\.lora_A\.weight has 4",
    ),
    "rank zero": ({"r": 0}, "has r 0, wanted a positive integer"),
    "a rank that is a text": ({"r": "4"}, "has r '4', wanted int"),
    "alpha that is a text": ({"lora_alpha": "8"}, "has lora_alpha '8', wanted float"),
    "a broken pattern": ({"rank_pattern": {"(q": 4}}, "rank_pattern '.q', no regular expression"),
    "other targets": ({"target_modules": ["q_proj"]}, r"target_modules \('q_proj',\), and its tensors change model"),
    "targets by expression": ({"target_modules": r".*\.1\..*"}, r"and its tensors change model\.layers\.0\."),
    "magnitudes that are not there": ({"use_dora": True}, "has use_dora true, and there is no magnitudes for model"),
    "no base": ({"base_model_name_or_path": None}, r"names no base model .*: give it with --base"),
    "a base that is gone": (
        {"base_model_name_or_path": "/home/me/smol"},
        r"is a LoRA adapter, and its base /home/me/smol \(--base names another\) cannot be opened: ",
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_config_that_cannot_be_merged(case: str, base: Path, adapter: Callable[[str], Path]) -> None:
    changes, sentence = BAD_CONFIGS[case]
    folder = adapter("plain")
    edit(folder, base_model_name_or_path=str(base))
    edit(folder, **changes)
    for opened in (open_checkpoint, open_outline):
        with pytest.raises(InputError, match=sentence) as caught:
            opened(str(folder))
        assert_one_sentence(caught.value)


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


BAD_TENSORS: dict[str, tuple[dict[str, Any], str]] = {
    "one matrix": ({f"{Q}.lora_B.weight": ...}, r"q_proj\.lora_A\.weight and not the other matrix of model\.layers\.0"),
    "a bias": ({f"{Q}.lora_B.bias": zeros(64)}, r"q_proj\.lora_B\.bias, which is no part of a LoRA adapter"),
    "a name without a prefix": (
        {"model.norm.weight": zeros(64)},
        r"holds model\.norm\.weight, which is no part of a LoRA",
    ),
    "another module": (
        {"base_model.model.score.weight": zeros(2, 64)},
        r"holds base_model\.model\.score\.weight, and its base has no score: name the base .* with --base",
    ),
    "another width": (
        {f"{Q}.lora_A.weight": zeros(4, 48)},
        r"lora_A.* shape \[4, 48\], its base wants \[4, 64\]: .*--base",
    ),
    "another rank": ({f"{Q}.lora_A.weight": zeros(3, 64)}, "the rank 4, and .*lora_A.weight has 3"),
    "another height": ({f"{Q}.lora_B.weight": zeros(65, 4)}, r"lora_B.* shape \[65, 4\], its base wants \[64, 4\]"),
    "magnitudes": ({f"{Q}.lora_magnitude_vector": zeros(64)}, "has use_dora false, and there is base_model"),
    "rows without their ids": (
        {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": zeros(2, 64)},
        "has 0 trainable_token_indices for model.embed_tokens, and .* has 2 rows",
    ),
    "an embedding without its head": (
        {"base_model.model.model.embed_tokens.weight": zeros(330, 64)},
        "has an embedding of 330 rows and no head, its base one of 320: save the adapter",
    ),
    "magnitudes twice": (
        {f"{Q}.lora_magnitude_vector": zeros(64), f"{Q}.lora_magnitude_vector.weight": zeros(64)},
        r"lora_magnitude_vector and base_model.*which nothing is to be made of",
    ),
    "what was there before, alone": (
        {"base_model.model.lm_head.original_module.weight": zeros(320, 64)},
        r"lm_head\.original_module\.weight, which nothing is to be made of",
    ),
    "a copy that differs": (
        {
            "base_model.model.model.norm.weight": zeros(64),
            "base_model.model.model.norm.modules_to_save.weight": zeros(64) + 1,
        },
        "which are one tensor and differ",
    ),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_cannot_be_merged(tmp_path: Path, tiny_folder: Path, case: str) -> None:
    changes, sentence = BAD_TENSORS[case]
    folder = write_lora(tmp_path / "mine", changes=changes)
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(folder), base=str(tiny_folder))
    assert_one_sentence(caught.value)


def test_a_tensor_of_no_dimensions(tmp_path: Path, tiny_folder: Path) -> None:
    from safetensors.numpy import save_file

    folder = write_lora(tmp_path / "mine")
    save_file({"base_model.model.model.embed_tokens.weight": np.zeros((), np.float32)}, folder / WEIGHTS)
    with pytest.raises(InputError, match=r"embed_tokens\.weight, which is a single number, wanted a tensor"):
        open_checkpoint(str(folder), base=str(tiny_folder))


def test_a_merged_tensor_that_is_not_finite_is_named(tmp_path: Path, tiny_folder: Path) -> None:
    folder = write_lora(tmp_path / "mine", changes={f"{Q}.lora_B.weight": zeros(64, 4) + 3e38})
    tensors = open_checkpoint(str(folder), base=str(tiny_folder)).tensors
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(InputError, match=r"^model\.layers\.0\..* holds"):
        tensors.read("model.layers.0.self_attn.q_proj.weight")


def test_what_is_no_adapter_takes_no_base(tmp_path: Path, tiny_folder: Path) -> None:
    for spec in ("embedded", str(tiny_folder), str(write_tiny_gguf(tmp_path / "tiny.gguf"))):
        with pytest.raises(
            InputError, match=r"--base .* is what an adapter is merged into, and .* is none: leave it out"
        ):
            open_checkpoint(spec, base=str(tiny_folder))


def test_an_adapter_of_an_adapter(tmp_path: Path, tiny_folder: Path) -> None:
    first = write_lora(tmp_path / "first")
    edit(first, base_model_name_or_path=str(tiny_folder))
    second = write_lora(tmp_path / "second")
    for base in (first, second):
        with pytest.raises(InputError, match="is an adapter too, wanted a whole model: merge it into its base first"):
            open_checkpoint(str(second), base=str(base))


@pytest.mark.parametrize("fan", [True, False])
def test_fan_in_fan_out_is_left_out_of_account_and_noted(tmp_path: Path, tiny_folder: Path, fan: bool) -> None:
    folder = write_lora(tmp_path / "mine")
    edit(folder, fan_in_fan_out=fan)
    notes = open_checkpoint(str(folder), base=str(tiny_folder)).notes
    assert any("fan_in_fan_out true" in note for note in notes) is fan


def edit(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | entries))
