"""A checkpoint that is a folder, as the hub keeps it: config.json, safetensors, tokenizer.json."""

from collections import Counter
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path

from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.config import end_ids, read_config
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.head import Matrix, decide_tie, untied_without_head
from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.safetensors_file import STORED, SafetensorsTensors, StoredTensor, read_places, read_rows
from smolship.checkpoint.tokenizer import Tokenizer
from smolship.checkpoint.tokenizer_json import read_tokenizer_folder
from smolship.errors import InputError
from smolship.progress import Progress, Silent

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Suffixes of files that run code when they are loaded."""

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
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
    found = _places(files)
    architecture, notes = _with_head(architecture, found)
    places = _checked_places(folder, found, architecture)
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
    return Checkpoint(outline.name, outline.architecture, outline.tokenizer, tensors, source, notes=notes)


def outline_of_folder(folder: Path, location: str | None = None) -> Outline:
    """What `folder` says without weights, which need not be there; `InputError` as `open_folder`.

    Of those that are there a head beside an embedding is compared with it.
    """
    architecture, ends = _read_configs(folder)
    architecture, notes = _foreseen_head(folder, architecture)
    return replace(_outline(folder, location, architecture, ends), notes=notes)


def _read_configs(folder: Path) -> tuple[Architecture, list[int]]:
    """The architecture, and every id that ends generation."""
    config = read_object(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_object(generation_file) if generation_file.exists() else {}
    return read_config(config, generation, str(folder)), end_ids(config, generation)


def _foreseen_head(folder: Path, architecture: Architecture) -> tuple[Architecture, tuple[str, ...]]:
    """The same as `_with_head` by what there is of the weights: all files, their index alone, or nothing."""
    if not (folder / _INDEX).exists():
        single = folder / _SINGLE
        return _with_head(architecture, _places([single])) if single.is_file() else (architecture, ())
    listed = _weight_map(folder / _INDEX)
    files = _files_of(folder, listed)
    if all(file.is_file() for file in files):
        return _with_head(architecture, _places(files))
    if HEAD not in listed and not architecture.tied:
        raise untied_without_head(_says(architecture))
    if HEAD in listed and EMBEDDING in listed and architecture.tied:
        unsure = f"{_says(architecture)}, and {_INDEX} lists {HEAD}: if that differs from {EMBEDDING}, it is kept too"
        return architecture, (unsure,)
    return architecture, ()


def _with_head(architecture: Architecture, found: dict[str, StoredTensor]) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture, tied or not as the weights have it, and a sentence where its config says otherwise."""
    embedding, head = found.get(EMBEDDING), found.get(HEAD)
    if embedding is None:
        alone = f"{_says(architecture)}, and the weights hold {HEAD} alone: it is {EMBEDDING} too, as in transformers 5"
        return architecture, (alone,) if head and architecture.tied else ()
    if head is not None and not {embedding.storage, head.storage} <= STORED.keys():
        return replace(architecture, tied=False), ()  # what cannot be compared is refused by name
    matrices = _matrix(EMBEDDING, embedding), None if head is None else _matrix(HEAD, head)
    tied, notes = decide_tie(architecture.tied, _says(architecture), *matrices)
    return replace(architecture, tied=tied), notes


def _says(architecture: Architecture) -> str:
    return f"config.json {'says' if architecture.tied else 'does not say'} tie_word_embeddings true"


def _matrix(name: str, place: StoredTensor) -> Matrix:
    return Matrix(name, place.shape, partial(read_rows, place))


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


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files by name: those the index lists, or the single one."""
    index = folder / _INDEX
    if index.exists():
        files = _files_of(folder, _weight_map(index))
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


def _weight_map(index: Path) -> dict[str, object]:
    """The names of the tensors that an index lists, and their files'."""
    mapping = read_object(index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise InputError(f"{index} has no weight_map, wanted tensor names and their files: fetch it again")
    return mapping


def _files_of(folder: Path, mapping: dict[str, object]) -> list[Path]:
    return sorted({folder / Path(str(file)).name for file in mapping.values()})


def _places(files: list[Path]) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    for file in files:
        found |= read_places(file)
    return found


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
