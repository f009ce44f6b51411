"""Facts that a checkpoint states in two places: how to make the places agree, and how to make them differ."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny import CHAT_TEMPLATE, tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint
from tiny_gguf import write_tiny_gguf

from zoo.edit import edit

Make = Callable[[Path], Path]
"""Writes a checkpoint into an empty folder and returns what to open."""
EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PAD = {"content": "<pad>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


@dataclass(frozen=True)
class Fact:
    """One fact and its two places."""

    agree: Make
    differ: Make
    named: tuple[str, ...]
    """patterns of both places, or of what they say, all of which one sentence has to hold where they differ"""


def stated(files: dict[str, dict[str, Any]], **config: Any) -> Make:
    """A tiny checkpoint with entries of its JSON files changed: `...` removes one; `config` decides the weights too."""

    def make(folder: Path) -> Path:
        write_tiny_checkpoint(folder, **({"torch_dtype": "float32"} | config))
        for name, entries in files.items():
            edit(folder / f"{name}.json", **entries)
        return folder

    return make


def headed(factor: float | None, **entries: Any) -> Make:
    """The tiny checkpoint with a head that is the embedding times a factor, or with none."""

    def make(folder: Path) -> Path:
        stated({"config": entries})(folder)
        weights = tiny_weights(tiny_config())
        head = {} if factor is None else {HEAD: np.ascontiguousarray(weights[EMBEDDING] * np.float32(factor))}
        write_safetensors(folder / SINGLE, weights | head)
        return folder

    return make


def ending(config: Any, generation: Any, tokenizer: str, turn: str = "<|im_end|>") -> Make:
    """The tiny checkpoint with these ends in its two configs, its tokenizer's config and its template's turns."""
    says = {"eos_token": tokenizer}
    template = {"chat_template": CHAT_TEMPLATE.replace("<|im_end|>", turn)}
    files = {"config": config, "generation_config": generation}
    return stated(
        {
            **{name: {"eos_token_id": eos} for name, eos in files.items()},
            "tokenizer_config": says | template,
            "special_tokens_map": says,
        }
    )


def role(entry: str, token: str, **also: dict[str, Any]) -> Make:
    """The tiny checkpoint whose tokenizer's two files say that this token has this role."""
    return stated({"tokenizer_config": {entry: token}, "special_tokens_map": {entry: token}} | also)


def two_sets(seed: int) -> Make:
    """Two shards with their index, and a single file beside them, of weights of that seed."""

    def make(folder: Path) -> Path:
        write_tiny_checkpoint(folder, shards=2, torch_dtype="float32")
        write_safetensors(folder / SINGLE, tiny_weights(tiny_config(), seed))
        return folder

    return make


def norm_twice(factor: float) -> Make:
    """Two shards that both hold the final norm, the second's times a factor."""

    def make(folder: Path) -> Path:
        write_tiny_checkpoint(folder, shards=2, torch_dtype="float32")
        weights = tiny_weights(tiny_config())
        placed = json.loads((folder / INDEX).read_text())["weight_map"]
        for number, file in enumerate(sorted(set(placed.values()))):
            part = {name: weights[name] for name, at in placed.items() if at == file}
            part[NORM] = weights[NORM] * np.float32(factor if number else 1)
            write_safetensors(folder / file, part)
        return folder

    return make


def templates(own: str) -> Make:
    """A template in a file of its own beside the one in the tokenizer's config."""

    def make(folder: Path) -> Path:
        stated({})(folder)
        (folder / "chat_template.jinja").write_text(own)
        return folder

    return make


def padded(place: str, *, known: bool) -> Make:
    """A `<pad>` that `place` states as token 320, and that tokenizer.json and the weights know or not."""

    def make(folder: Path) -> Path:
        stated({}, vocab_size=321 if known else 320)(folder)
        if known:
            definition = json.loads((folder / "tokenizer.json").read_text())
            definition["added_tokens"].append({"id": 320, **PAD})
            (folder / "tokenizer.json").write_text(json.dumps(definition))
        if place == "added_tokens.json":
            (folder / place).write_text(json.dumps({"<pad>": 320}))
        else:
            edit(folder / "tokenizer_config.json", added_tokens_decoder={"320": PAD})
        return folder

    return make


def rows(config: int, tokens: int) -> Make:
    """A model of so many rows for a tokenizer of so many tokens."""

    def make(folder: Path) -> Path:
        stated({}, vocab_size=config)(folder)
        definition = json.loads((folder / "tokenizer.json").read_text())
        definition["added_tokens"] += [{"id": at, **PAD, "content": f"<more {at}>"} for at in range(320, tokens)]
        (folder / "tokenizer.json").write_text(json.dumps(definition))
        return folder

    return make


def gguf(**metadata: Any) -> Make:
    """The tiny GGUF with entries of its metadata replaced."""

    def make(folder: Path) -> Path:
        return write_tiny_gguf(folder / "tiny.gguf", **metadata)

    return make


TOKENIZER = r"tokenizer_config\.json|special_tokens_map\.json"
DEFAULT = {"rope_type": "default"}
WITH_THETA = {**DEFAULT, "rope_theta": 100000.0}
OTHER_THETA = {**DEFAULT, "rope_theta": 20000.0}

FACTS = {
    "tied, and a head": Fact(headed(1), headed(2), (r"lm_head\.weight", "tie_word_embeddings|tied")),
    "untied, and no head": Fact(
        headed(1, tie_word_embeddings=False),
        headed(None, tie_word_embeddings=False),
        (r"lm_head\.weight", "tie_word_embeddings|tied"),
    ),
    "end: config and generation config": Fact(
        ending(2, 2, "<|im_end|>"), ending(0, 2, "<|im_end|>"), (r"(?<!n_)config\.json", r"generation_config\.json")
    ),
    "end: configs and tokenizer": Fact(
        ending(2, 2, "<|im_end|>"), ending(0, 0, "<|im_end|>"), (TOKENIZER, r"<\|im_end\|>")
    ),
    "end: everything and the template": Fact(
        ending(0, 0, "<|endoftext|>", turn="<|endoftext|>"),
        ending(0, 0, "<|endoftext|>"),
        ("template", r"<\|im_end\|>"),
    ),
    "end: the tokenizer's two files": Fact(
        stated({}),
        stated({"tokenizer_config": {"eos_token": "<|endoftext|>"}}),
        (r"tokenizer_config\.json", r"special_tokens_map\.json"),
    ),
    "begin: config and tokenizer": Fact(
        role("bos_token", "<|im_start|>"), role("bos_token", "<|endoftext|>"), ("bos|begin", TOKENIZER)
    ),
    "padding: config and tokenizer": Fact(
        role("pad_token", "<|im_end|>"), role("pad_token", "<|endoftext|>"), ("pad", TOKENIZER)
    ),
    "rope_theta and rope_parameters": Fact(
        stated({"config": {"rope_parameters": WITH_THETA}}),
        stated({"config": {"rope_parameters": OTHER_THETA}}),
        (r"rope_theta 100000|100000(\.0)?", "rope_parameters"),
    ),
    "rope_theta and rope_parameters without one": Fact(
        stated({"config": {"rope_parameters": DEFAULT}}),
        stated({"config": {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}}),
        ("rope_parameters", "linear"),
    ),
    "rope_theta and rope_scaling": Fact(
        stated({"config": {"rope_scaling": WITH_THETA}}),
        stated({"config": {"rope_scaling": OTHER_THETA}}),
        ("100000|20000", "rope_scaling"),
    ),
    "rope_scaling and rope_parameters": Fact(
        stated({"config": {"rope_scaling": {"type": "default"}, "rope_parameters": WITH_THETA}}),
        stated({"config": {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": WITH_THETA}}),
        ("rope_scaling", "linear"),
    ),
    "dtype and the weights": Fact(
        stated({"config": {"torch_dtype": ..., "dtype": "float32"}}),
        stated({"config": {"torch_dtype": ..., "dtype": "bfloat16"}}),
        ("bfloat16", "float32"),
    ),
    "dtype and torch_dtype": Fact(
        stated({"config": {"dtype": "float32"}}),
        stated({"config": {"dtype": "float16", "torch_dtype": "float32"}}),
        (r"\bdtype", "torch_dtype"),
    ),
    "vocabulary: config and weights": Fact(stated({}), stated({"config": {"vocab_size": 384}}), (r"384", r"320")),
    "vocabulary: weights and tokenizer": Fact(rows(321, 321), rows(384, 321), ("384 rows", "no text|321")),
    "vocabulary: a token without a row": Fact(rows(321, 321), rows(320, 321), ("<more 320>|321", "320 rows|320")),
    "layers: config and weights": Fact(
        stated({}), stated({"config": {"num_hidden_layers": 1}}), (r"layers\.1\.", r"config\.json")
    ),
    "heads: config and weights": Fact(
        stated({}), stated({"config": {"num_key_value_heads": 1}}), (r"k_proj", r"config\.json")
    ),
    "an index and a single file": Fact(
        two_sets(seed=0), two_sets(seed=1), (r"index\.json", r"model\.safetensors\b(?!\.)")
    ),
    "a tensor in two files": Fact(norm_twice(1), norm_twice(2), ("model-00001-of-00002", "model-00002-of-00002")),
    "template: its file and the config": Fact(
        templates(CHAT_TEMPLATE), templates("{{ messages }}"), (r"chat_template\.jinja", r"tokenizer_config\.json")
    ),
    "added tokens: tokenizer and its config": Fact(
        padded("tokenizer_config.json", known=True),
        padded("tokenizer_config.json", known=False),
        (r"tokenizer_config\.json", "<pad>"),
    ),
    "added tokens: tokenizer and their own file": Fact(
        padded("added_tokens.json", known=True),
        padded("added_tokens.json", known=False),
        (r"added_tokens\.json", "<pad>"),
    ),
    "GGUF: end and template": Fact(gguf(), gguf(tokenizer__ggml__eos_token_id=0), ("template", r"<\|im_end\|>")),
    "GGUF: vocabulary and tokens": Fact(gguf(), gguf(llama__vocab_size=384), ("384", "320")),
}
