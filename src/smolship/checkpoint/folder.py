"""A checkpoint that is a folder, as the hub keeps it: config.json, safetensors, tokenizer.json."""

from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.config import end_ids, read_config
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.quantised import refuse_quantised
from smolship.checkpoint.recognised import refuse_listing
from smolship.checkpoint.safetensors_file import STORED, SafetensorsTensors, StoredTensor
from smolship.checkpoint.tensor_names import plain_names
from smolship.checkpoint.tokenizer import Tokenizer
from smolship.checkpoint.tokenizer_json import read_tokenizer_folder
from smolship.checkpoint.weight_files import Weights, find_weights, listing
from smolship.errors import InputError
from smolship.progress import Progress, Silent

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
    weights = _weights(folder)
    found, renamed = plain_names(str(folder), weights.tensors)
    places = _checked_places(folder, found, architecture)
    outline = _outline(folder, location, architecture, ends)
    source = Source(
        kind=kind,
        location=location or outline.name,
        revision=revision,
        sha256=weights_digest(weights.files, progress),
        stored_as=_stored_as(places),
        already_quantised=False,
    )
    notes = (*outline.notes, *weights.notes, *renamed)
    tensors = SafetensorsTensors(places)
    return Checkpoint(outline.name, outline.architecture, outline.tokenizer, tensors, source, notes=notes)


def outline_of_folder(folder: Path, location: str | None = None) -> Outline:
    """What `folder` says without weights, which need not be there; `InputError` as `open_folder`."""
    outline = _outline(folder, location, *_read_configs(folder))
    refuse_quantised(str(folder), read_object(folder / "config.json"), None)
    return outline


def _read_configs(folder: Path) -> tuple[Architecture, list[int]]:
    """The architecture, and every id that ends generation; `InputError` if this is another thing than a checkpoint."""
    if not (folder / "config.json").exists():
        refuse_listing(listing(folder), str(folder))
    config = read_object(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_object(generation_file) if generation_file.exists() else {}
    return read_config(config, generation, str(folder)), end_ids(config, generation)


def _outline(folder: Path, location: str | None, architecture: Architecture, ends: list[int]) -> Outline:
    tokenizer = read_tokenizer_folder(folder, architecture)
    if tokenizer.chat_template is not None:
        architecture, tokenizer = _ending_turns(architecture, tokenizer, ends)
    return Outline((location or folder.resolve().name).rsplit("/", 1)[-1], architecture, tokenizer)


def _ending_turns(architecture: Architecture, tokenizer: Tokenizer, ends: list[int]) -> tuple[Architecture, Tokenizer]:
    """A chat checkpoint that lists several ids as its end ends at `<|im_end|>`, wherever in the list that stands."""
    for token in tokenizer.added:
        if token.text == _TURN_END and token.id in ends and token.id != architecture.eos_id:
            roles = {**tokenizer.roles, "eos_token": _TURN_END}
            return replace(architecture, eos_id=token.id), replace(tokenizer, roles=roles)
    return architecture, tokenizer


def _weights(folder: Path) -> Weights:
    """The weights, unread; `InputError` if they are quantised, before anything is said of their names and shapes."""
    config = read_object(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        refuse_quantised(str(folder), config, None)
    weights = find_weights(folder)
    refuse_quantised(str(folder), config, weights.tensors)
    return weights


def _checked_places(
    folder: Path, found: dict[str, StoredTensor], architecture: Architecture
) -> dict[str, StoredTensor]:
    """Every tensor of the architecture, of its shape and a storage that is read; no other tensor may be there."""
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
