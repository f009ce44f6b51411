"""Tiny checkpoints that state a fact in two places, alike or not."""

import json
from collections.abc import Callable
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


def indexed(shards: int) -> Make:
    """A single file, and an index: of that file, as mlx-lm writes it, or of shards that hold other weights."""

    def make(folder: Path) -> Path:
        write_tiny_checkpoint(folder, shards=shards, torch_dtype="float32")
        weights = tiny_weights(tiny_config(), seed=1)
        write_safetensors(folder / SINGLE, weights)
        if shards == 1:
            (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, SINGLE)}))
        return folder

    return make


def norm_in(files: int) -> Make:
    """Two shards, of which one or both hold the final norm, each with values of its own."""

    def make(folder: Path) -> Path:
        write_tiny_checkpoint(folder, shards=2, torch_dtype="float32")
        weights = tiny_weights(tiny_config())
        placed = json.loads((folder / INDEX).read_text())["weight_map"]
        other = next(file for file in sorted(placed.values()) if file != placed[NORM])
        if files == 2:
            part = {name: weights[name] for name, at in placed.items() if at == other}
            write_safetensors(folder / other, part | {NORM: weights[NORM] * np.float32(2)})
        return folder

    return make


def templates(own: str) -> Make:
    """A template in a file of its own beside the one in the tokenizer's config."""

    def make(folder: Path) -> Path:
        stated({})(folder)
        (folder / "chat_template.jinja").write_text(own)
        return folder

    return make


def default_template(own: str) -> Make:
    """A template named `default` in the folder of additional ones, which transformers lets win."""

    def make(folder: Path) -> Path:
        stated({})(folder)
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "default.jinja").write_text(own)
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


def also_added(**settings: Any) -> Make:
    """The tiny checkpoint with a spare row, and entries of its tokenizer's config that bring a token `<x>`, or not."""
    return stated({"tokenizer_config": settings}, vocab_size=384)


def renamed(content: str) -> Make:
    """The tiny checkpoint whose added token 5 is spelled so; its vocabulary says `<file_sep>`."""

    def make(folder: Path) -> Path:
        stated({})(folder)
        definition = json.loads((folder / "tokenizer.json").read_text())
        definition["added_tokens"][5]["content"] = content
        (folder / "tokenizer.json").write_text(json.dumps(definition))
        return folder

    return make


def flagged(**flags: bool) -> Make:
    """The tiny checkpoint whose tokenizer's config lists added token 2 with these flags; tokenizer.json has none."""
    entry = {**PAD, "content": "<|im_end|>", **flags}
    return stated({"tokenizer_config": {"added_tokens_decoder": {"2": entry}}})


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
