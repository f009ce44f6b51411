"""SmolLM2's tokenizer out of a folder's `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.tokenizer import PRE_TOKENIZERS, AddedToken, Tokenizer
from smolship.checkpoint.tokenizer_checks import require_whole
from smolship.errors import InputError

_PLAIN_BPE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("dropout", (None, 0)),
    ("unk_token", (None,)),
    ("continuing_subword_prefix", (None, "")),
    ("end_of_word_suffix", (None, "")),
    ("byte_fallback", (None, False)),
    ("ignore_merges", (None, False)),
)
"""Switches of the library's BPE and SmolLM2's settings: with any other, llama.cpp would encode text differently."""


def read_tokenizer_folder(folder: Path, architecture: Architecture) -> Tokenizer:
    """The tokenizer in `folder`; `InputError` if a file is missing or malformed, or it is not SmolLM2's kind.

    Only vocabulary, merges and added tokens are taken: the pipeline is checked to be SmolLM2's, then written anew.
    """
    path = folder / "tokenizer.json"
    definition = read_object(path)
    settings = read_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    try:
        _require_pipeline(path, definition)
        tokens, merges, added = _contents(path, definition)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is not a tokenizer of the tokenizers library ({error!r}): fetch it again") from error
    require_whole(str(path), tokens, merges, architecture)
    unknown = settings.get("unk_token")
    roles = {
        "bos_token": tokens[architecture.bos_id],
        "eos_token": tokens[architecture.eos_id],
        "pad_token": tokens[architecture.pad_id],
        "unk_token": unknown if unknown in tokens else tokens[architecture.eos_id],
    }
    template = _chat_template(folder, settings)
    return Tokenizer(tokens, merges, added, roles, template, architecture.max_positions)


def _require_pipeline(path: Path, definition: Mapping[str, Any]) -> None:
    model = _section(definition, "model")
    pre = _section(definition, "pre_tokenizer")
    steps = [_effective(step) for step in pre.get("pretokenizers", [pre])]
    normalizer, post = _section(definition, "normalizer"), _section(definition, "post_processor")
    odd = [f"{switch} {model[switch]!r}" for switch, plain in _PLAIN_BPE if model.get(switch) not in plain]
    found = (
        (model.get("type") != "BPE" or odd, f"model {' '.join([str(model.get('type')), *odd])}"),
        (steps != [_effective(step) for step in PRE_TOKENIZERS], f"pre-tokenizers {[s.get('type') for s in steps]}"),
        (_section(definition, "decoder").get("type") != "ByteLevel", "another decoder than ByteLevel"),
        (normalizer and normalizer.get("normalizers") != [], f"normalizer {normalizer.get('type')}"),
        (post and post.get("type") != "ByteLevel", f"post-processor {post.get('type')}"),
    )
    for wrong, what in found:
        if wrong:
            raise InputError(
                f"{path} has {what}, wanted SmolLM2's byte-level BPE (Digits one by one, then ByteLevel, no more): "
                "take tokenizer.json from the original checkpoint (GGUF loaders write wrong ones)"
            )


def _section(definition: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = definition.get(key)
    return value if isinstance(value, dict) else {}


def _effective(step: Mapping[str, Any]) -> dict[str, Any]:
    """A pre-tokenizer's settings without those that only move offsets, defaults spelled out."""
    settings = {key: value for key, value in step.items() if key != "trim_offsets"}
    return {"use_regex": True, **settings} if step.get("type") == "ByteLevel" else settings


def _contents(
    path: Path, definition: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[AddedToken, ...]]:
    model = definition["model"]
    added = tuple(
        AddedToken(int(entry["id"]), str(entry["content"]), bool(entry["special"]))
        for entry in sorted(definition.get("added_tokens", ()), key=lambda entry: entry["id"])
    )
    for entry in definition.get("added_tokens", ()):
        moving = [flag for flag in ("lstrip", "rstrip", "single_word") if entry.get(flag)]
        if moving:
            raise InputError(
                f"{path}: the added token {entry['content']} has {moving[0]}, which llama.cpp cannot do: "
                f"set {moving[0]} to false there and in tokenizer_config.json, if the model can do without it"
            )
    ids = {int(index): str(token) for token, index in model["vocab"].items()}
    ids |= {token.id: token.text for token in added}
    if sorted(ids) != list(range(len(ids))):
        raise InputError(
            f"{path}: the ids of {len(ids)} tokens have gaps up to {max(ids)}, wanted a token for every id: add the "
            "missing ones, or give the tokenizer that the model was trained with"
        )
    merges = tuple(rule if isinstance(rule, str) else " ".join(rule) for rule in model["merges"])
    return tuple(ids[index] for index in range(len(ids))), merges, added


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template: its own file, as newer transformers write it, or the entry of `tokenizer_config.json`."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{file} is not UTF-8 text (byte {error.start}): fetch the file again") from error
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named ones: the one for plain conversations
        entries = [entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"]
        template = entries[-1].get("template") if entries else None
    if template is not None and not isinstance(template, str):
        raise InputError(f"{folder}/tokenizer_config.json has a chat_template that is no text: repair it")
    return template
