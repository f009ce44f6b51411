"""SmolLM2's architecture and tokenizer out of a GGUF's metadata."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from smolship.checkpoint.architecture import HEAD, Architecture
from smolship.checkpoint.gguf_header import GgufHeader
from smolship.checkpoint.gguf_layout import gguf_name
from smolship.checkpoint.tokenizer import AddedToken, Tokenizer
from smolship.checkpoint.tokenizer_checks import require_whole
from smolship.errors import InputError

_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's token types


def read_architecture(header: GgufHeader, file: str) -> Architecture:
    """The numbers of the model; `InputError` if the GGUF is no llama, stretches its positions or lacks one of them.

    No entry says whether it is tied: it is where the file has no head.
    """
    metadata = header.metadata
    family = metadata.get("general.architecture")
    if family != "llama":
        raise InputError(f"{file} holds a model of architecture {family!r}, wanted 'llama': give a GGUF of SmolLM2")
    scaling = metadata.get("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise InputError(f"{file} scales its rotary positions ({scaling}), wanted none: give a GGUF of SmolLM2")
    heads = _count(metadata, "llama.attention.head_count", file)
    hidden = _count(metadata, "llama.embedding_length", file)
    head_dim = _count(metadata, "llama.attention.key_length", file, default=hidden // heads)
    rotated = _count(metadata, "llama.rope.dimension_count", file, default=head_dim)
    if rotated != head_dim:
        raise InputError(f"{file} rotates {rotated} of {head_dim} dimensions, wanted all: give a GGUF of SmolLM2")
    eos_id = _token_id(metadata, "tokenizer.ggml.eos_token_id", file)
    tokens = len(_list(metadata, "tokenizer.ggml.tokens", str, file))
    return Architecture(
        vocabulary=_count(metadata, "llama.vocab_size", file, default=tokens),
        hidden=hidden,
        intermediate=_count(metadata, "llama.feed_forward_length", file),
        layers=_count(metadata, "llama.block_count", file),
        heads=heads,
        kv_heads=_count(metadata, "llama.attention.head_count_kv", file, default=heads),
        head_dim=head_dim,
        rope_theta=_positive(metadata, "llama.rope.freq_base", file),
        norm_epsilon=_positive(metadata, "llama.attention.layer_norm_rms_epsilon", file),
        max_positions=_count(metadata, "llama.context_length", file),
        bos_id=_token_id(metadata, "tokenizer.ggml.bos_token_id", file, default=eos_id),
        eos_id=eos_id,
        pad_id=_token_id(metadata, "tokenizer.ggml.padding_token_id", file, default=eos_id),
        tied=gguf_name(HEAD) not in header.tensors,
    )


def read_tokenizer(metadata: Mapping[str, Any], architecture: Architecture, file: str) -> Tokenizer:
    """The tokenizer that llama.cpp makes of these metadata; `InputError` if it is not SmolLM2's kind."""
    kind = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise InputError(
            f"{file} has a tokenizer of model {kind[0]!r} and pre-tokenizer {kind[1]!r}, wanted 'gpt2' and 'smollm': "
            "give a GGUF made from SmolLM2 by a current llama.cpp"
        )
    tokens = tuple(_list(metadata, "tokenizer.ggml.tokens", str, file))
    types = _list(metadata, "tokenizer.ggml.token_type", int, file)
    added = tuple(
        AddedToken(index, tokens[index], kind == _CONTROL)
        for index, kind in enumerate(types[: len(tokens)])
        if kind in (_CONTROL, _USER_DEFINED)
    )
    merges = tuple(_list(metadata, "tokenizer.ggml.merges", str, file))
    unknown = _token_id(metadata, "tokenizer.ggml.unknown_token_id", file, default=architecture.eos_id)
    template = metadata.get("tokenizer.chat_template")
    if not isinstance(template, str | None):
        raise _odd("tokenizer.chat_template", template, "a text", file)
    require_whole(file, tokens, merges, architecture)
    return Tokenizer(
        tokens=tokens,
        merge_rules=merges,
        added=added,
        roles={
            "bos_token": tokens[architecture.bos_id],
            "eos_token": tokens[architecture.eos_id],
            "pad_token": tokens[architecture.pad_id],
            "unk_token": tokens[unknown] if 0 <= unknown < len(tokens) else tokens[architecture.eos_id],
        },
        chat_template=template,
        max_length=architecture.max_positions,
    )


def _wanted(metadata: Mapping[str, Any], key: str, file: str) -> Any:
    value = metadata.get(key)
    if value is None:
        raise InputError(f"{file} has no {key} in its metadata: convert it again with a current llama.cpp")
    return value


def _count(metadata: Mapping[str, Any], key: str, file: str, default: int | None = None) -> int:
    value = _wanted(metadata, key, file) if default is None else metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _odd(key, value, "a positive integer", file)
    return value


def _token_id(metadata: Mapping[str, Any], key: str, file: str, default: int | None = None) -> int:
    value = _wanted(metadata, key, file) if default is None else metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _odd(key, value, "a token's id", file)
    return value


def _list(metadata: Mapping[str, Any], key: str, kind: type, file: str) -> list[Any]:
    """A list whose every value is of that kind: GGUF has arrays of one kind only, so the first speaks for all."""
    value = _wanted(metadata, key, file)
    if not isinstance(value, list) or (value and not isinstance(value[0], kind)):
        shown = f"[{value[0]!r}, ...]" if isinstance(value, list) else value
        raise _odd(key, shown, f"a list of {kind.__name__}", file)
    return value


def _positive(metadata: Mapping[str, Any], key: str, file: str) -> float:
    """The shortest decimal that is the same float32: GGUF stores 1e-05 as 9.999999747378752e-06."""
    value = _wanted(metadata, key, file)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise _odd(key, value, "a positive number", file)
    return float(str(np.float32(value)))


def _odd(key: str, value: object, wanted: str, file: str) -> InputError:
    return InputError(f"{file} has {key} {value!r}, wanted {wanted}: give a GGUF of SmolLM2")
