"""`open_checkpoint` and `open_outline`: what a checkpoint can be given as, tried in order."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from smolship.checkpoint.adapter import Place, is_adapter, open_adapter, outline_of_adapter
from smolship.checkpoint.checkpoint import Checkpoint, Outline
from smolship.checkpoint.embedded import EMBEDDED, embedded_path, open_embedded
from smolship.checkpoint.folder.folder import open_folder, outline_of_folder
from smolship.checkpoint.gguf.file import open_gguf, outline_of_gguf
from smolship.checkpoint.hub import fetch
from smolship.checkpoint.refused.recognised import OTHER_RUNTIMES, PICKLES
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
    folder: Callable[[Path, Place], Opened]
    adapter: Callable[[Path, Place], Opened]
    gguf: Callable[[Path], Opened]
    fetch: Callable[[str], Path]


def open_checkpoint(
    spec: str, *, revision: str | None = None, base: str | None = None, progress: Progress = Silent()
) -> Checkpoint:
    """The checkpoint that `spec` names: `embedded`, a GGUF file, a folder, or a hub id; the last two may be adapters.

    `revision` is a hub id's branch, tag or commit; `base` what a LoRA adapter is merged into (a hub id as
    `owner/name@revision` too), by default what its config names. What exists on disk wins over a hub id of the same
    spelling. No weights are read into memory and no code of a checkpoint is run. Raises `InputError` (found, wanted,
    what to do).
    """

    def whole(revision: str | None, adapter: Callable[[Path, Place], Checkpoint]) -> _Ways[Checkpoint]:
        return _Ways(
            embedded=lambda: open_embedded(progress),
            folder=lambda path, place: open_folder(path, **asdict(place), progress=progress),
            adapter=adapter,
            gguf=lambda path: open_gguf(path, progress=progress),
            fetch=lambda name: fetch(name, revision=revision, weights=True, progress=progress),
        )

    def open_base(name: str, revision: str | None) -> Checkpoint:
        return _open(name, revision, None, whole(revision, _refuse_chain))

    def open_merged(path: Path, place: Place) -> Checkpoint:
        return open_adapter(path, open_base, base=base, place=place, progress=progress)

    return _open(spec, revision, base, whole(revision, open_merged))


def open_outline(
    spec: str, *, revision: str | None = None, base: str | None = None, progress: Progress = Silent()
) -> Outline:
    """What `spec` names, without its weights: of those nothing is fetched.

    On disk no more is read of them than tells whether a head differs from the embedding, where there are both. An
    adapter's own tensors are read too, for they say what becomes of its base.
    """

    def outlined(revision: str | None, adapter: Callable[[Path, Place], Outline]) -> _Ways[Outline]:
        return _Ways(
            embedded=lambda: outline_of_gguf(embedded_path()),
            folder=lambda path, place: outline_of_folder(path, place.location),
            adapter=adapter,
            gguf=outline_of_gguf,
            fetch=lambda name: fetch(name, revision=revision, weights=False, progress=progress),
        )

    def open_base(name: str, revision: str | None) -> Outline:
        return _open(name, revision, None, outlined(revision, _refuse_chain))

    def open_merged(path: Path, place: Place) -> Outline:
        return outline_of_adapter(path, open_base, base=base, place=place)

    return _open(spec, revision, base, outlined(revision, open_merged))


def _refuse_chain(path: Path, place: Place) -> Any:
    raise InputError(f"{place.location or path} is an adapter too, wanted a whole model: merge it into its base first")


def _open(spec: str, revision: str | None, base: str | None, ways: _Ways[Opened]) -> Opened:
    if spec == EMBEDDED:
        _refuse_revision(spec, revision)
        _refuse_base(spec, base)
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
        return _open_folder(path, Place(), base, ways) if path.is_dir() else _open_file(path, base, ways)
    if _HUB_ID.fullmatch(spec) and not spec.endswith((".gguf", ".safetensors", *PICKLES)):
        snapshot = ways.fetch(spec)
        return _open_folder(snapshot, Place("hub", spec, snapshot.name), base, ways)
    raise InputError(f"{spec!r} is no file or folder here and not spelled like a hub id: {_WANTED}")


def _open_folder(path: Path, place: Place, base: str | None, ways: _Ways[Opened]) -> Opened:
    if is_adapter(path):
        return ways.adapter(path, place)
    _refuse_base(place.location or str(path), base)
    return ways.folder(path, place)


def _open_file(path: Path, base: str | None, ways: _Ways[Opened]) -> Opened:
    _refuse_base(path.name, base)
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


def _refuse_base(spec: str, base: str | None) -> None:
    if base is not None:
        raise InputError(f"--base {base} is what an adapter is merged into, and {spec} is none: leave it out")
