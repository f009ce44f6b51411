"""`open_artefact`: what can be checked, recognised by what is there and never guessed."""

from collections.abc import Callable
from pathlib import Path

from smolship.artefact import MANIFEST_FILE, Artefact
from smolship.errors import InputError
from smolship.foreign.foreign_file import ForeignFile
from smolship.foreign.gguf import open_gguf
from smolship.foreign.onnx import GENAI_CONFIG, open_genai, open_onnx
from smolship.foreign.pte import open_pte

Opened = Artefact | ForeignFile
ACCEPTED = (
    "wanted a folder that `smolship build` wrote, a .gguf file, a folder of ONNX Runtime GenAI (genai_config.json) or "
    "of Optimum (config.json and an .onnx file), or a .pte file with tokenizer.json beside it"
)
_OPENERS: dict[str, Callable[[Path, int | None], ForeignFile]] = {
    ".gguf": open_gguf,
    ".onnx": open_onnx,
    ".pte": open_pte,
}


def open_artefact(path: Path, context: int | None = None) -> Opened:
    """An artefact of ours, or a file made elsewhere; weights are not read.

    `context`: tokens to check a file made elsewhere with; by default what it takes, at most `foreign_file.CONTEXT`.
    `InputError` if `path` is neither, or could be several things, or lacks what its runtime needs.
    """
    if not path.exists():
        raise InputError(f"there is no {path}: {ACCEPTED}")
    if path.is_dir():
        return _open_folder(path, context)
    if path.suffix.lower() not in _OPENERS:
        raise InputError(f"{path.name} is nothing that can be checked: {ACCEPTED}")
    if (path.parent / MANIFEST_FILE).is_file():
        raise InputError(f"{path.name} lies in an artefact of smolship: give the folder, {path.parent}")
    return _OPENERS[path.suffix.lower()](path, context)


def _open_folder(folder: Path, context: int | None) -> Opened:
    if (folder / MANIFEST_FILE).is_file():
        return _ours(folder, context)
    if (folder / GENAI_CONFIG).is_file():
        return open_genai(folder, context)
    places = (*folder.iterdir(), *(folder / "onnx").glob("*.onnx"))
    models = sorted(place for place in places if place.suffix.lower() in _OPENERS and place.is_file())
    if not models:
        raise InputError(f"{folder} holds nothing that can be checked: {ACCEPTED}")
    if len(models) > 1:
        named = ", ".join(str(model.relative_to(folder)) for model in models)
        raise InputError(f"{folder} holds {len(models)} models, {named}: name the file that is meant")
    return _OPENERS[models[0].suffix.lower()](models[0], context)


def _ours(folder: Path, context: int | None) -> Artefact:
    artefact = Artefact.open(folder)
    if context not in (None, artefact.manifest.context):
        raise InputError(
            f"{artefact.name} was built for a context of {artefact.manifest.context} tokens and --context says "
            f"{context}: leave it out, it is for files made elsewhere"
        )
    return artefact
