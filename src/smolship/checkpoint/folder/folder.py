"""A checkpoint that is a folder, as the hub keeps it: config.json, safetensors, tokenizer.json."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.chat.notes import chat_notes
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.folder.config import (
    max_positions_of,
    read_config,
    require_smollm2,
    stated_ids,
    storage_notes,
    vocabulary_of,
)
from smolship.checkpoint.folder.generation import decoding_notes
from smolship.checkpoint.folder.json_file import read_object
from smolship.checkpoint.folder.rope import rotary_notes
from smolship.checkpoint.folder.safetensors_file import STORED, SafetensorsTensors, StoredTensor
from smolship.checkpoint.folder.tensor_names import plain_names
from smolship.checkpoint.folder.tokenizer_json import read_tokenizer_folder
from smolship.checkpoint.folder.tying import foreseen_head, with_head
from smolship.checkpoint.folder.weight_files import Weights, find_weights, listing
from smolship.checkpoint.licence import licence_of_folder
from smolship.checkpoint.refused.quantised import refuse_quantised
from smolship.checkpoint.refused.recognised import WEIGHTS, refuse_listing
from smolship.errors import InputError
from smolship.progress import Progress, Silent

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
    _require_checkpoint(folder)
    config = read_object(folder / "config.json")
    outline = _read_outline(folder, config, location)
    weights = _weights(folder, config)
    found, renamed = plain_names(str(folder), weights.tensors)
    architecture, heads = with_head(outline.architecture, found)
    places = _checked_places(folder, found, architecture)
    source = Source(
        kind=kind,
        location=location or outline.name,
        revision=revision,
        sha256=weights_digest(weights.files, progress),
        stored_as=_stored_as(places),
        already_quantised=False,
    )
    stored = storage_notes(config, source.stored_as)
    notes = (*weights.notes, *renamed, *heads, *stored)
    return replace(outline, architecture=architecture).with_weights(SafetensorsTensors(places), source, notes)


def outline_of_folder(folder: Path, location: str | None = None) -> Outline:
    """What `folder` says without weights, which need not be there; `InputError` as `open_folder`.

    Of those that are there a head beside an embedding is compared with it.
    """
    if not (folder / "config.json").exists():
        refuse_listing(listing(folder), str(folder))
    config = read_object(folder / "config.json")
    outline = _read_outline(folder, config, location)
    refuse_quantised(str(folder), config, None)
    architecture, heads = foreseen_head(folder, outline.architecture)
    return replace(outline, architecture=architecture, notes=(*outline.notes, *heads))


def _require_checkpoint(folder: Path) -> None:
    """`InputError` says what a folder is that lacks a config or weights, if that can be told."""
    files = listing(folder)
    if "config.json" in files and WEIGHTS.intersection(files):
        return
    if "config.json" in files:
        refuse_quantised(str(folder), read_object(folder / "config.json"), None)
    refuse_listing(files, str(folder))


def _read_outline(folder: Path, config: Mapping[str, Any], location: str | None) -> Outline:
    place = str(folder)
    generation_file = folder / "generation_config.json"
    generation = read_object(generation_file) if generation_file.exists() else {}
    require_smollm2(config, place)
    stated = stated_ids(config, generation, place)
    rows, longest = vocabulary_of(config, place), max_positions_of(config, place)
    tokenizer, ids = read_tokenizer_folder(folder, rows, stated, longest)
    name = (location or folder.resolve().name).rsplit("/", 1)[-1]
    licence, unclear = licence_of_folder(folder)
    notes = (*rotary_notes(config), *decoding_notes(generation), *ids.notes, *chat_notes(tokenizer), *unclear)
    architecture = read_config(config, place, ids)
    return Outline(name, architecture, tokenizer, licence=licence, notes=notes, ends_said=ids.said)


def _weights(folder: Path, config: Mapping[str, Any]) -> Weights:
    """The weights, unread; `InputError` if they are quantised, before anything is said of their names and shapes."""
    weights = find_weights(folder)
    refuse_quantised(str(folder), config, weights.tensors)
    return weights


def _checked_places(
    folder: Path, found: dict[str, StoredTensor], architecture: Architecture
) -> dict[str, StoredTensor]:
    """Every tensor of the architecture, of its shape and a storage that is read; no other tensor may be there."""
    if architecture.tied and HEAD in found:
        found = {EMBEDDING: found[HEAD], **found}
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
    # A tied head that was saved too and rotary tables are no weights of their own: transformers ignores them too.
    extra = sorted(name for name in found.keys() - wanted.keys() if name != HEAD and not name.endswith(_COMPUTED))
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
