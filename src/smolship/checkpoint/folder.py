"""A checkpoint that is a folder, as the hub keeps it: config.json, safetensors, tokenizer.json."""

from collections import Counter
from math import prod
from pathlib import Path

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.config import max_positions_of, read_config, require_smollm2, stated_ids, vocabulary_of
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.safetensors_file import STORED, SafetensorsTensors, StoredTensor, read_places
from smolship.checkpoint.tokenizer_json import read_tokenizer_folder
from smolship.errors import InputError
from smolship.progress import Progress, Silent

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Suffixes of files that run code when they are loaded."""

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TIED_HEAD = "lm_head.weight"
_COMPUTED = ".rotary_emb.inv_freq"


def open_folder(
    folder: Path,
    *,
    kind: str = "folder",
    location: str | None = None,
    revision: str | None = None,
    progress: Progress = Silent(),
) -> Checkpoint:
    """The checkpoint in `folder`; `InputError` if a part is missing, cut short or of another model."""
    outline = outline_of_folder(folder, location)
    files = _weight_files(folder)
    places = _checked_places(folder, files, outline.architecture)
    source = Source(
        kind=kind,
        location=location or outline.name,
        revision=revision,
        sha256=weights_digest(files, progress),
        stored_as=_stored_as(places),
        already_quantised=False,
    )
    return outline.with_weights(SafetensorsTensors(places), source)


def outline_of_folder(folder: Path, location: str | None = None) -> Outline:
    """What `folder` says without weights, which need not be there; `InputError` as `open_folder`."""
    place = str(folder)
    config = read_object(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_object(generation_file) if generation_file.exists() else {}
    require_smollm2(config, place)
    stated = stated_ids(config, generation, place)
    rows, longest = vocabulary_of(config, place), max_positions_of(config, place)
    tokenizer, ids = read_tokenizer_folder(folder, rows, stated, longest)
    name = (location or folder.resolve().name).rsplit("/", 1)[-1]
    return Outline(name, read_config(config, place, ids), tokenizer, notes=ids.notes, ends_said=ids.said)


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
