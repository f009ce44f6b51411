"""Where what is costly to compute is kept by its content: the same inputs never pay twice, any other never hit."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from smolship.artefact import replacing, write_atomically
from smolship.cache import cache_folder
from smolship.quantize.made_by import code_digest

Arrays = Mapping[str, NDArray[Any]]
_T = TypeVar("_T")


def place_of(kind: str, made_by: str, inputs: Mapping[str, object], suffix: str = ".npz") -> Path:
    """The file for these inputs, which JSON must be able to write: named after their sha256.

    `made_by` is the name of the module that computes it: other code is another input.
    """
    text = json.dumps({"kind": kind, "code": code_digest(made_by), **inputs}, sort_keys=True)
    return cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{suffix}"


def keep(place: Path, arrays: Arrays) -> None:
    """Replace the archive at `place` in one step, making its folder; `InputError` if the disk refuses. No pickles."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def kept(place: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays at `place`; `None` if nothing is there or it is damaged, so that it is computed anew."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def keep_json(place: Path, value: object) -> None:
    """The same for a value of plain data: numbers, words, containers and dataclasses of them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, TypeAdapter(type(value)).dump_json(value))


def kept_json(place: Path, kind: type[_T]) -> _T | None:
    """The value of that kind at `place`; `None` if nothing is there or it is damaged."""
    try:
        return TypeAdapter(kind).validate_json(place.read_bytes())
    except (OSError, ValueError):
        return None
