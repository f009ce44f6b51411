"""SmolLM2's architecture and tokenizer out of a GGUF's metadata."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from smolship.checkpoint.architecture import HEAD, Architecture
from smolship.checkpoint.gguf.header import GgufHeader
from smolship.checkpoint.gguf.layout import gguf_name
from smolship.checkpoint.token_ids import NO_IDS, NamedRoles, Stated, StatedIds, TokenIds, assign
from smolship.checkpoint.tokenizer import PRE_TOKENIZERS, AddedToken, Tokenizer
from smolship.checkpoint.tokenizer_checks import by_row, require_whole
from smolship.errors import InputError

_FIXED: dict[str, float | bool] = {
    "llama.rope.scaling.factor": 1.0,
    "llama.rope.scale_linear": 1.0,
    "llama.rope.scaling.attn_factor": 1.0,
    "llama.attention.causal": True,
}
"""What llama.cpp obeys whatever `rope.scaling.type` says, and what it is in a SmolLM2 and when absent."""
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's token types


def read_model(header: GgufHeader, file: str) -> tuple[Architecture, Tokenizer, TokenIds]:
    """The numbers of the model, its tokenizer, and the ids with a note for what was forgiven or is said in two ways.

    `InputError` if the GGUF is no llama, stretches its positions, lacks a number, or has another kind of tokenizer.
    """
    metadata = header.metadata
    _require_smollm2(metadata, file)
    tokenizer, padded = _read_tokenizer(metadata, _rows(metadata, file), file)
    tokenizer, ids = assign(tokenizer, _stated_ids(metadata, file), _named(metadata, tokenizer, file), file)
    return read_architecture(header, file, ids), tokenizer, replace(ids, notes=(*padded, *ids.notes))


def read_architecture(header: GgufHeader, file: str, ids: TokenIds = NO_IDS) -> Architecture:
    """The numbers of the model; without `ids` they tell its shapes alone. `InputError` as `read_model`.

    No entry says whether it is tied: it is where the file has no head.
    """
    metadata = header.metadata
    _require_smollm2(metadata, file)
    heads = _count(metadata, "llama.attention.head_count", file)
    hidden = _count(metadata, "llama.embedding_length", file)
    head_dim = _count(metadata, "llama.attention.key_length", file, default=hidden // heads)
    rotated = _count(metadata, "llama.rope.dimension_count", file, default=head_dim)
    if rotated != head_dim:
        raise InputError(f"{file} rotates {rotated} of {head_dim} dimensions, wanted all: give a GGUF of SmolLM2")
    return Architecture(
        vocabulary=_rows(metadata, file),
        hidden=hidden,
        intermediate=_count(metadata, "llama.feed_forward_length", file),
        layers=_count(metadata, "llama.block_count", file),
        heads=heads,
        kv_heads=_count(metadata, "llama.attention.head_count_kv", file, default=heads),
        head_dim=head_dim,
        rope_theta=_positive(metadata, "llama.rope.freq_base", file),
        norm_epsilon=_positive(metadata, "llama.attention.layer_norm_rms_epsilon", file),
        max_positions=_count(metadata, "llama.context_length", file),
        bos_id=ids.bos,
        end_ids=ids.ends,
        pad_id=ids.pad,
        tied=gguf_name(HEAD) not in header.tensors,
    )


def _rows(metadata: Mapping[str, Any], file: str) -> int:
    """Rows of the embedding: a token each, unless the file says otherwise."""
    tokens = len(_list(metadata, "tokenizer.ggml.tokens", str, file))
    return _count(metadata, "llama.vocab_size", file, default=tokens)


def _require_smollm2(metadata: Mapping[str, Any], file: str) -> None:
    family = metadata.get("general.architecture")
    if family != "llama":
        raise InputError(f"{file} holds a model of architecture {family!r}, wanted 'llama': give a GGUF of SmolLM2")
    scaling = metadata.get("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise InputError(f"{file} scales its rotary positions ({scaling}), wanted none: give a GGUF of SmolLM2")
    for key, wanted in _FIXED.items():
        if metadata.get(key, wanted) != wanted:
            raise InputError(f"{file} has {key} {metadata[key]!r}, wanted {wanted!r}: give a GGUF of SmolLM2")


def _read_tokenizer(metadata: Mapping[str, Any], rows: int, file: str) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer that llama.cpp makes of these metadata, its roles apart."""
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or pre not in PRE_TOKENIZERS:
        raise InputError(
            f"{file} has a tokenizer of model {kind!r} and pre-tokenizer {pre!r}, wanted 'gpt2' and "
            f"{' or '.join(map(repr, PRE_TOKENIZERS))}: give a GGUF made from SmolLM2 by a current llama.cpp"
        )
    listed = _list(metadata, "tokenizer.ggml.tokens", str, file)
    types = _list(metadata, "tokenizer.ggml.token_type", int, file)[: len(listed)]
    unused = {index for index, one in enumerate(types) if one == _UNUSED}
    found = {index: text for index, text in enumerate(listed) if index not in unused}
    tokens, spare, notes = by_row(file, found, rows)
    added = tuple(
        AddedToken(index, tokens[index], one == _CONTROL)
        for index, one in enumerate(types)
        if one in (_CONTROL, _USER_DEFINED)
    )
    merges = tuple(_list(metadata, "tokenizer.ggml.merges", str, file))
    template = metadata.get("tokenizer.chat_template")
    if not isinstance(template, str | None):
        raise _odd("tokenizer.chat_template", template, "a text", file)
    require_whole(file, tokens, merges)
    longest = _count(metadata, "llama.context_length", file)
    return Tokenizer(tokens, merges, added, {}, template, longest, pre=pre, spare=spare), notes


def _stated_ids(metadata: Mapping[str, Any], file: str) -> StatedIds:
    """What ends an answer by llama.cpp: the end of text, of a turn, of a message."""
    ends = [_token_id(metadata, f"tokenizer.ggml.{end}_token_id", file) for end in ("eos", "eot", "eom")]
    return StatedIds(
        bos=_token_id(metadata, "tokenizer.ggml.bos_token_id", file),
        pad=_token_id(metadata, "tokenizer.ggml.padding_token_id", file),
        ends=Stated("tokenizer.ggml.eos_token_id", tuple(dict.fromkeys(end for end in ends if end is not None))),
    )


def _named(metadata: Mapping[str, Any], tokenizer: Tokenizer, file: str) -> NamedRoles:
    """The one role that has no number in `StatedIds`."""
    unknown = _token_id(metadata, "tokenizer.ggml.unknown_token_id", file)
    if unknown is None or not 0 <= unknown < len(tokenizer.tokens):
        return NamedRoles({})
    return NamedRoles({"unk_token": tokenizer.tokens[unknown]})


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


def _token_id(metadata: Mapping[str, Any], key: str, file: str) -> int | None:
    value = metadata.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
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
