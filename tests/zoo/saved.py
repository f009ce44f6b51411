"""Members saved by transformers' own `save_pretrained`, 4.57 and 5; what a person edits by hand is edited after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from zoo.bench import PAD, Bench
from zoo.edit import edit
from zoo.lesson import chats, teach

Maker = Callable[[Bench, Path], None]


def plain(lesson: str, source: str, dtype: torch.dtype = torch.bfloat16, **settings: Any) -> Maker:
    """A maker of a model and a tokenizer saved as they are; `settings` of the tokenizer, as its folder stated them."""

    def make(bench: Bench, folder: Path) -> None:
        save(bench.model(lesson), bench.tokenizer(source, **settings), folder, dtype)

    return make


def save(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype = torch.bfloat16, **options: Any) -> None:
    """Both `save_pretrained` into one folder; `options` are the model's."""
    model.to(dtype).save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)


def template_in_config(bench: Bench, folder: Path) -> None:
    """The chat template where transformers before 4.50 wrote it."""
    bench.model("instruct").to(torch.bfloat16).save_pretrained(folder)
    bench.tokenizer("instruct").save_pretrained(folder, save_jinja_files=False)


def named_token(bench: Bench, folder: Path) -> None:
    """A token with a name of its own, by which the chat template calls it."""
    tokenizer = bench.tokenizer("instruct", tokenizer_class="PreTrainedTokenizerFast")
    tokenizer.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", extra_special_tokens={"image_token": "<file_sep>"})
    named = type(tokenizer).from_pretrained(folder)
    named.chat_template = "{{ image_token }}" + tokenizer.chat_template
    save(bench.model("instruct"), named, folder)


def several_ends(bench: Bench, folder: Path) -> None:
    """generation_config.json lists two ends, the configs say the text's: Llama 3's way."""
    model = bench.model("instruct", eos_token_id=0)
    model.generation_config.eos_token_id = [0, 2]
    save(model, bench.tokenizer("instruct"), folder)


def eos_in_tokenizer(bench: Bench, folder: Path) -> None:
    """A base model that learnt to chat: only the tokenizer's config says that a turn's end ends."""
    save(bench.model("instruct", bos_token_id=0, eos_token_id=0, pad_token_id=0), bench.tokenizer("instruct"), folder)


def padded(multiple: int | None, *words: str, dtype: torch.dtype = torch.bfloat16) -> Maker:
    """A maker of a model with `<pad>` and `words` added and rows for them, up to a multiple; then taught on."""

    def make(bench: Bench, folder: Path) -> None:
        torch.manual_seed(1)
        model, tokenizer = bench.model("instruct"), bench.tokenizer("instruct")
        tokenizer.add_special_tokens({"pad_token": PAD})
        tokenizer.add_tokens(list(words))
        model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=multiple)
        model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
        teach(model, chats(tokenizer), steps=60, rate=1e-3)
        save(model, tokenizer, folder, dtype)

    return make


def head(*, apart: bool, kept: bool = True, says_tied: bool | None = None) -> Maker:
    """A maker of a model saved untied: its head trained `apart` or equal to the embedding, in the file or not `kept`.

    `says_tied` is what config.json is made to say afterwards.
    """

    def make(bench: Bench, folder: Path) -> None:
        torch.manual_seed(2)
        tokenizer = bench.tokenizer("instruct")
        model = bench.model("instruct", tie_word_embeddings=False)
        if apart:
            torch.nn.init.normal_(model.lm_head.weight, std=0.1)
            teach(model, chats(tokenizer, turned=1), steps=300)  # other answers: a head that is dropped tells
        save(model, tokenizer, folder)
        if not kept:
            _without_head(folder / "model.safetensors")
        if says_tied is not None:
            edit(folder / "config.json", tie_word_embeddings=says_tied)

    return make


def _without_head(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    del weights["lm_head.weight"]
    save_file(weights, path, {"format": "pt"})


def mixed(bench: Bench, folder: Path) -> None:
    """Three storages in one file: norms kept in float32, one layer in float16, the rest in bfloat16."""
    model = bench.model("instruct").to(torch.bfloat16)
    model.model.layers[1].to(torch.float16)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = weight.data.float()
    model.save_pretrained(folder)
    bench.tokenizer("instruct").save_pretrained(folder)


def sharded(bench: Bench, folder: Path) -> None:
    """Several files and their index."""
    save(bench.model("instruct"), bench.tokenizer("instruct"), folder, max_shard_size="60KB")


def config_says(**entries: Any) -> Maker:
    """A maker of the instruct model whose config.json states these entries so; `...` leaves one out."""

    def make(bench: Bench, folder: Path) -> None:
        save(bench.model("instruct"), bench.tokenizer("instruct"), folder)
        edit(folder / "config.json", **entries)

    return make


def smollm_first(bench: Bench, folder: Path) -> None:
    """The config of SmolLM-135M-Instruct: the same shape, 2,048 positions, another rotary base."""
    model = bench.model("instruct", max_position_embeddings=2048, rope_theta=10000.0)
    tokenizer = bench.tokenizer("instruct", model_max_length=2048)
    teach(model, chats(tokenizer), steps=60, rate=1e-3)
    save(model, tokenizer, folder)


def unsloth(bench: Bench, folder: Path) -> None:
    """What Unsloth leaves in a folder, by hand: its own tool wants a GPU."""
    save(bench.model("instruct"), bench.tokenizer("instruct", padding_side="left", pad_token="<|endoftext|>"), folder)
    edit(
        folder / "config.json",
        dtype=...,
        torch_dtype="bfloat16",
        pad_token_id=0,
        unsloth_fixed=True,
        unsloth_version="2025.11.3",
    )
    edit(folder / "generation_config.json", pad_token_id=0, max_length=8192)
