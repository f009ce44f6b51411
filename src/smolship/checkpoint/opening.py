"""`open_checkpoint`: what a checkpoint can be given as, tried in order."""

import re
from pathlib import Path

from smolship.checkpoint.checkpoint import Checkpoint
from smolship.checkpoint.embedded import EMBEDDED, open_embedded
from smolship.checkpoint.folder import PICKLES, open_folder
from smolship.checkpoint.gguf_file import open_gguf
from smolship.checkpoint.hub import open_hub
from smolship.errors import InputError
from smolship.progress import Progress, Silent

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = (
    "wanted a hub id such as HuggingFaceTB/SmolLM2-360M-Instruct, a folder with config.json and safetensors, "
    "a .gguf file, or 'embedded'"
)


def open_checkpoint(spec: str, *, revision: str | None = None, progress: Progress = Silent()) -> Checkpoint:
    """The checkpoint that `spec` names: `embedded`, a GGUF file, a folder, or a hub id.

    `revision` is a hub id's branch, tag or commit. What exists on disk wins over a hub id of the same spelling. No
    weights are read into memory and no code of a checkpoint is run. Raises `InputError` (found, wanted, what to do).
    """
    if spec == EMBEDDED:
        _refuse_revision(spec, revision)
        return open_embedded(progress)
    if not spec.strip():
        raise InputError(f"the checkpoint's name is empty: {_WANTED}")
    try:
        path = Path(spec).expanduser()
    except RuntimeError as error:  # ~name of nobody here
        raise InputError(f"{spec!r} names the home of a user who is not known here: {_WANTED}") from error
    if path.exists():
        _refuse_revision(spec, revision)
        return _open_path(path, progress)
    if _HUB_ID.fullmatch(spec) and not spec.endswith((".gguf", ".safetensors", *PICKLES)):
        return open_hub(spec, revision=revision, progress=progress)
    raise InputError(f"{spec!r} is no file or folder here and not spelled like a hub id: {_WANTED}")


def _open_path(path: Path, progress: Progress) -> Checkpoint:
    if path.is_dir():
        return open_folder(path, progress=progress)
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path.name} is a pickle, which runs code when it is loaded: "
            "give safetensors (save the model with safe_serialization=True) or a GGUF file"
        )
    if path.suffix == ".safetensors":
        raise InputError(f"{path.name} is one file of a checkpoint, wanted its folder: give {path.parent} instead")
    return open_gguf(path, progress=progress)


def _refuse_revision(spec: str, revision: str | None) -> None:
    if revision is not None:
        raise InputError(f"a revision ({revision}) was given with {spec!r}, wanted only with a hub id: leave it out")
