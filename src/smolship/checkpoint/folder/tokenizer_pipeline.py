"""What a `tokenizer.json` does to text, told from its steps; it must be something that every runtime does too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolship.checkpoint.tokenizer import PRE_TOKENIZERS, Tokenizer
from smolship.errors import InputError

_PLAIN_BPE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("dropout", (None, 0)),
    ("unk_token", (None, "")),
    ("continuing_subword_prefix", (None, "")),
    ("end_of_word_suffix", (None, "")),
    ("byte_fallback", (None, False)),
    ("ignore_merges", (None, False)),
)
"""Switches of the library's BPE and SmolLM2's settings: with any other, llama.cpp would encode text differently."""

_PROOF = (
    "Hello world, it's 2024: 3.14159 and 1,000,000!\n\n\tdef f(x):  return x**2  # naïve café\r\n"
    "Ünïcödé 日本語 한국어 العربية 🙂👍🏽 ½ Ⅷ ٣٤  a\u0301 'll 'RE don't  end   "
)
"""what two tokenizers must encode alike: words, digits of several scripts, spaces, contractions, accents apart"""


def splitting(path: Path, definition: Mapping[str, Any]) -> str:
    """How the pipeline splits text, a key of `PRE_TOKENIZERS`; `InputError` if it does anything else to text.

    Steps that do nothing (an empty sequence, a template that adds no token: transformers 5 writes one) are no steps.
    """
    model = _section(definition, "model")
    steps = [_effective(step) for step in _flat(_section(definition, "pre_tokenizer"), "pretokenizers")]
    odd = [f"{switch} {model[switch]!r}" for switch, plain in _PLAIN_BPE if model.get(switch) not in plain]
    known = {name: [_effective(step) for step in wanted] for name, wanted in PRE_TOKENIZERS.items()}
    pre = next((name for name, wanted in known.items() if steps == wanted), "")
    normalizers = _flat(_section(definition, "normalizer"), "normalizers")
    decoders = [step.get("type") for step in _flat(_section(definition, "decoder"), "decoders")]
    adding = [
        step.get("type") for step in _flat(_section(definition, "post_processor"), "processors") if not _idle(step)
    ]
    found = (
        (model.get("type") != "BPE" or odd, f"model {' '.join([str(model.get('type')), *odd])}"),
        (not pre, f"pre-tokenizers {[step.get('type') for step in steps]}"),
        (decoders != ["ByteLevel"], f"decoders {decoders}"),
        (normalizers, f"normalizers {[step.get('type') for step in normalizers]}"),
        (adding, f"post-processors {adding} that add tokens"),
    )
    for wrong, what in found:
        if wrong:
            raise InputError(
                f"{path} has {what}, wanted SmolLM2's byte-level BPE (digits one by one, or GPT-2's splitting), which "
                "every runtime here knows: give a SmolLM2 or a fine-tune of one with its own tokenizer.json"
            )
    return pre


def require_same_ids(path: Path, definition: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    """`InputError` if the tokenizers library encodes a text by `definition` otherwise than by what will be written."""
    from tokenizers import Tokenizer as Engine

    whole = {**definition, "truncation": None, "padding": None}  # what training leaves: no part of the tokenizer
    try:
        theirs = Engine.from_str(json.dumps(whole)).encode(_PROOF, add_special_tokens=True).ids
    except Exception as error:  # the library raises plain `Exception` for every fault of a definition
        raise InputError(f"{path} is refused by the tokenizers library ({error}): fetch or repair the file") from error
    if theirs != tokenizer.encode(_PROOF):
        raise InputError(
            f"{path} encodes a text otherwise than its vocabulary, merges and splitting say: "
            "give a SmolLM2 or a fine-tune of one with its own tokenizer.json"
        )


def _section(definition: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = definition.get(key)
    return value if isinstance(value, dict) else {}


def _flat(section: Mapping[str, Any], inner: str) -> list[Mapping[str, Any]]:
    """The steps of a section: none, itself, or those of its sequence."""
    if not section:
        return []
    return [one for step in section[inner] for one in _flat(step, inner)] if inner in section else [section]


def _effective(step: Mapping[str, Any]) -> dict[str, Any]:
    """A pre-tokenizer's settings without those that only move offsets, defaults spelled out."""
    settings = {key: value for key, value in step.items() if key != "trim_offsets"}
    return {"use_regex": True, **settings} if step.get("type") == "ByteLevel" else settings


def _idle(step: Mapping[str, Any]) -> bool:
    """Whether a post-processor adds nothing: one that moves offsets, or a template of the text alone."""
    if step.get("type") != "TemplateProcessing":
        return step.get("type") == "ByteLevel"
    single = step.get("single")
    return isinstance(single, list) and [list(part) for part in single] == [["Sequence"]]
