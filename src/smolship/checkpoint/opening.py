"""`open_checkpoint` and `open_outline`: what a checkpoint can be given as, tried in order."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from smolship.checkpoint.checkpoint import Checkpoint, Outline
from smolship.checkpoint.embedded import EMBEDDED, embedded_path, open_embedded
from smolship.checkpoint.folder import open_folder, outline_of_folder
from smolship.checkpoint.gguf_file import open_gguf, outline_of_gguf
from smolship.checkpoint.hub import open_hub, outline_of_hub
from smolship.checkpoint.recognised import OTHER_RUNTIMES, PICKLES
from smolship.errors import InputError
from smolship.progress import Progress, Silent
from smolship.streams import require_text

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = (
    "wanted a hub id such as HuggingFaceTB/SmolLM2-360M-Instruct, a folder with config.json and safetensors, "
    "a .gguf file, or 'embedded'"
)

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class _Ways(Generic[Opened]):
    """What to do with each kind of place."""

    embedded: Callable[[], Opened]
    folder: Callable[[Path], Opened]
    gguf: Callable[[Path], Opened]
    hub: Callable[[str], Opened]


def open_checkpoint(spec: str, *, revision: str | None = None, progress: Progress = Silent()) -> Checkpoint:
    """The checkpoint that `spec` names: `embedded`, a GGUF file, a folder, or a hub id.

    `revision` is a hub id's branch, tag or commit. What exists on disk wins over a hub id of the same spelling. No
    weights are read into memory and no code of a checkpoint is run. Raises `InputError` (found, wanted, what to do).
    """
    whole = _Ways(
        embedded=lambda: open_embedded(progress),
        folder=lambda path: open_folder(path, progress=progress),
        gguf=lambda path: open_gguf(path, progress=progress),
        hub=lambda name: open_hub(name, revision=revision, progress=progress),
    )
    return _open(spec, revision, whole)


def open_outline(spec: str, *, revision: str | None = None, progress: Progress = Silent()) -> Outline:
    """What `spec` names, without its weights: of those nothing is fetched.

    On disk no more is read of them than tells whether a head differs from the embedding, where there are both.
    """
    outline = _Ways(
        embedded=lambda: outline_of_gguf(embedded_path()),
        folder=outline_of_folder,
        gguf=outline_of_gguf,
        hub=lambda name: outline_of_hub(name, revision=revision, progress=progress),
    )
    return _open(spec, revision, outline)


def _open(spec: str, revision: str | None, ways: _Ways[Opened]) -> Opened:
    if spec == EMBEDDED:
        _refuse_revision(spec, revision)
        return ways.embedded()
    if not spec.strip():
        raise InputError(f"the checkpoint's name is empty: {_WANTED}")
    try:
        path = Path(spec).expanduser()
    except RuntimeError as error:  # ~name of nobody here
        raise InputError(f"{spec!r} names the home of a user who is not known here: {_WANTED}") from error
    if path.exists():
        _refuse_revision(spec, revision)
        require_text(path.resolve().name, "the name")
        return _open_path(path, ways)
    if _HUB_ID.fullmatch(spec) and not spec.endswith((".gguf", ".safetensors", *PICKLES)):
        return ways.hub(spec)
    raise InputError(f"{spec!r} is no file or folder here and not spelled like a hub id: {_WANTED}")


def _open_path(path: Path, ways: _Ways[Opened]) -> Opened:
    if path.is_dir():
        return ways.folder(path)
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path.name} is a pickle, which runs code when it is loaded: "
            "give safetensors (save the model with safe_serialization=True) or a GGUF file"
        )
    if path.suffix == ".safetensors":
        raise InputError(f"{path.name} is one file of a checkpoint, wanted its folder: give {path.parent} instead")
    if path.suffix.lower() in OTHER_RUNTIMES:
        raise InputError(
            f"{path.name} is a model for {OTHER_RUNTIMES[path.suffix.lower()]}, wanted a checkpoint: give the one that "
            "it was exported from (`smolship check` measures .onnx, .pte and .gguf files)"
        )
    return ways.gguf(path)


def _refuse_revision(spec: str, revision: str | None) -> None:
    if revision is not None:
        raise InputError(f"a revision ({revision}) was given with {spec!r}, wanted only with a hub id: leave it out")
