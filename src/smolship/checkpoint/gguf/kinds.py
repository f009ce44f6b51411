"""GGUF files that hold no whole model: parts, adapters, projectors, vocabularies, importance matrices."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolship.checkpoint.gguf.header import GgufHeader
from smolship.errors import InputError

_PART_NAME = re.compile(r".*-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_WANTED = "wanted a language model's weights"
_KINDS = {
    # general.type or general.architecture: what it is, what to do
    "adapter": (
        "a LoRA adapter",
        "give PEFT's folder with adapter_config.json, or merge it into its base with llama.cpp's llama-export-lora",
    ),
    "mmproj": ("the projector of a vision or audio model", "give the GGUF of the language model beside it"),
    "clip": ("the projector of a vision or audio model", "give the GGUF of the language model beside it"),
    "imatrix": ("an importance matrix", "give the model that it was made for"),
    "vocab": ("a vocabulary without weights", "give a GGUF with the model's weights"),
}


def refuse_other_gguf(path: Path, header: GgufHeader) -> None:
    """`InputError` says what a file is that holds no whole language model; none of its kind could be opened."""
    if (part := _part(header.metadata)) is not None:
        raise _part_error(path, *part)
    named = (str(header.metadata.get(key)) for key in ("general.type", "general.architecture"))
    kind = next((name for name in named if name in _KINDS), None)
    if kind is None and not header.tensors:
        kind = "vocab"
    if kind is not None:
        what, advice = _KINDS[kind]
        raise InputError(f"{path.name} is {what} as a GGUF, {_WANTED}: {advice}")


def refuse_part_by_name(path: Path) -> None:
    """`InputError` if a file that lacks tensors is named as one of several parts."""
    named = _PART_NAME.fullmatch(path.name)
    if named is not None and int(named[2]) > 1:
        raise _part_error(path, int(named[1]), int(named[2]))


def _part(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    """Which part of how many, counted from 1; `None` of a whole model."""
    count, number = metadata.get("split.count"), metadata.get("split.no", 0)
    if not isinstance(count, int) or not isinstance(number, int) or count <= 1:
        return None
    return number + 1, count


def _part_error(path: Path, number: int, count: int) -> InputError:
    first = re.sub(r"-\d{5}-of-", "-00001-of-", path.name)
    return InputError(
        f"{path.name} is part {number} of {count}: join them with llama.cpp's "
        f"`llama-gguf-split --merge {first} whole.gguf` and give that"
    )
