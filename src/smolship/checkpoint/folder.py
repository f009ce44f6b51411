"""A checkpoint that is a folder, as the hub keeps it: config.json, safetensors, tokenizer.json."""

from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.chat_notes import chat_notes
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.config import end_ids, read_config
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.licence import licence_of_folder
from smolship.checkpoint.safetensors_file import STORED, SafetensorsTensors, StoredTensor, read_places
from smolship.checkpoint.tokenizer import Tokenizer
from smolship.checkpoint.tokenizer_json import read_tokenizer_folder
from smolship.errors import InputError
from smolship.progress import Progress, Silent

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Suffixes of files that run code when they are loaded."""

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TIED_HEAD = "lm_head.weight"
_COMPUTED = ".rotary_emb.inv_freq"
_TURN_END = "<|im_end|>"


def open_folder(
    folder: Path,
    *,
    kind: str = "folder",
    location: str | None = None,
    revision: str | None = None,
    progress: Progress = Silent(),
) -> Checkpoint:
    """The checkpoint in `folder`; `InputError` if a part is missing, cut short or of another model."""
    architecture, ends = _read_configs(folder)
    files = _weight_files(folder)
    places = _checked_places(folder, files, architecture)
    outline = _outline(folder, location, architecture, ends)
    source = Source(
        kind=kind,
        location=location or outline.name,
        revision=revision,
        sha256=weights_digest(files, progress),
        stored_as=_stored_as(places),
        already_quantised=False,
    )
    tensors = SafetensorsTensors(places)
    return outline.whole(tensors, source)


def outline_of_folder(folder: Path, location: str | None = None) -> Outline:
    """What `folder` says without weights, which need not be there; `InputError` as `open_folder`."""
    return _outline(folder, location, *_read_configs(folder))


def _read_configs(folder: Path) -> tuple[Architecture, list[int]]:
    """The architecture, and every id that ends generation."""
    config = read_object(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_object(generation_file) if generation_file.exists() else {}
    return read_config(config, generation, str(folder)), end_ids(config, generation)


def _outline(folder: Path, location: str | None, architecture: Architecture, ends: list[int]) -> Outline:
    tokenizer = read_tokenizer_folder(folder, architecture)
    if tokenizer.chat_template is not None:
        architecture, tokenizer = _ending_turns(architecture, tokenizer, ends)
    name = (location or folder.resolve().name).rsplit("/", 1)[-1]
    licence, notes = licence_of_folder(folder)
    return Outline(name, architecture, tokenizer, licence=licence, notes=(*chat_notes(tokenizer), *notes))


def _ending_turns(architecture: Architecture, tokenizer: Tokenizer, ends: list[int]) -> tuple[Architecture, Tokenizer]:
    """A chat checkpoint that lists several ids as its end ends at `<|im_end|>`, wherever in the list that stands."""
    for token in tokenizer.added:
        if token.text == _TURN_END and token.id in ends and token.id != architecture.eos_id:
            roles = {**tokenizer.roles, "eos_token": _TURN_END}
            return replace(architecture, eos_id=token.id), replace(tokenizer, roles=roles)
    return architecture, tokenizer


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files by name: those the index lists, or the single one."""
    index = folder / _INDEX
    if index.exists():
        mapping = read_object(index).get("weight_map")
        if not isinstance(mapping, dict) or not mapping:
            raise InputError(f"{index} has no weight_map, wanted tensor names and their files: fetch it again")
        files = sorted({folder / Path(str(file)).name for file in mapping.values()})
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise InputError(
                f"{folder} lacks {', '.join(missing)} of the {len(files)} files in its index: fetch them all"
            )
        return files
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    if pickles:
        raise InputError(
            f"{folder} holds its weights only as pickle ({pickles[0]}), which runs code when it is loaded: "
            "save the model again with safe_serialization=True and give that folder"
        )
    raise InputError(f"{folder} holds no {_SINGLE} and no {_INDEX}: give the folder of a whole checkpoint")


def _checked_places(folder: Path, files: list[Path], architecture: Architecture) -> dict[str, StoredTensor]:
    """Every tensor of the architecture, of its shape and a storage that is read; no other tensor may be there."""
    found: dict[str, StoredTensor] = {}
    for file in files:
        found |= read_places(file)
    wanted = architecture.shapes()
    for name, shape in wanted.items():
        place = found.get(name)
        if place is None:
            raise InputError(f"{folder} has no tensor {name}, wanted by its config.json: fetch the whole checkpoint")
        if place.shape != shape:
            raise InputError(
                f"{place.path} holds {name} with shape {list(place.shape)}, config.json wants {list(shape)}: "
                "give config.json and weights of the same model"
            )
        if place.storage not in STORED:
            raise InputError(
                f"{place.path} stores {name} as {place.storage}, wanted {', '.join(STORED)}: give an unquantised model"
            )
    # The tied head saved a second time and rotary tables are no weights of their own: transformers ignores them too.
    extra = sorted(name for name in found.keys() - wanted.keys() if name != _TIED_HEAD and not name.endswith(_COMPUTED))
    if extra:
        raise InputError(
            f"{folder} holds {', '.join(extra[:3])} beside SmolLM2's tensors, wanted those that config.json calls for: "
            "give a SmolLM2 or a fine-tune of one, adapters merged"
        )
    return {name: found[name] for name in wanted}


def _stored_as(places: dict[str, StoredTensor]) -> str:
    """The storage that most weights of the matrices have."""
    weights: Counter[str] = Counter()
    for place in places.values():
        if len(place.shape) == 2:
            weights[place.storage] += prod(place.shape)
    return STORED[weights.most_common(1)[0][0]][0]
