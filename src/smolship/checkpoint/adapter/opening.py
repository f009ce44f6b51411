"""`open_adapter`: a LoRA adapter and its base as one checkpoint."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from smolship.checkpoint.adapter.change import Change
from smolship.checkpoint.adapter.changes import changes_of, vocabulary_of
from smolship.checkpoint.adapter.config import ADAPTER_CONFIG, AdapterConfig, read_adapter_config
from smolship.checkpoint.adapter.merging import MergedTensors
from smolship.checkpoint.adapter.tying import settle_tie
from smolship.checkpoint.chat.files import FILES
from smolship.checkpoint.chat.notes import chat_notes
from smolship.checkpoint.checkpoint import AdapterSource, Checkpoint, Outline, Source
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.folder.safetensors_file import SafetensorsTensors, StoredTensor, read_places
from smolship.checkpoint.folder.tensor_names import unwrapped
from smolship.checkpoint.folder.tokenizer_json import read_tokenizer_folder
from smolship.checkpoint.folder.weight_files import listing
from smolship.checkpoint.licence import licence_of_folder
from smolship.checkpoint.refused.recognised import WEIGHTS, refuse_listing
from smolship.checkpoint.token_ids import Stated, StatedIds
from smolship.errors import InputError
from smolship.progress import Progress, Silent

ADAPTER_WEIGHTS = "adapter_model.safetensors"

_HUB_REVISION = re.compile(r"([^@]+/[^@]+)@([^@]+)")

Base = TypeVar("Base", bound=Outline)
OpenBase = Callable[[str, str | None], Base]
"""by what names it, and its revision if that is a hub id"""


@dataclass(frozen=True)
class Place:
    """Where a folder is from, as a `Source` says it."""

    kind: str = "folder"
    location: str | None = None
    """`None` is the folder's own name"""
    revision: str | None = None


@dataclass(frozen=True)
class _Merge:
    """What becomes of the base."""

    outline: Outline
    changes: dict[str, Change]
    adapter: SafetensorsTensors


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter: its config, and not the weights of a whole model alone."""
    if not (folder / ADAPTER_CONFIG).is_file():
        return False
    return (folder / ADAPTER_WEIGHTS).is_file() or not any((folder / name).is_file() for name in WEIGHTS)


def open_adapter(
    folder: Path,
    open_base: OpenBase[Checkpoint],
    *,
    base: str | None = None,
    place: Place = Place(),
    progress: Progress = Silent(),
) -> Checkpoint:
    """The adapter in `folder` merged into its base, in float32, tensor by tensor as they are read.

    `base` names another base than its config does. `InputError` if the adapter is of another kind than LoRA, says what
    cannot be merged, does not fit its base, or the base cannot be opened.
    """
    config, stored, notes = _read(folder)
    under = _open_base(config, folder, base, open_base)
    merge = _merge(folder, config, stored, under, place)
    files = (folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS)
    own = AdapterSource(weights_digest(files, progress), under.source)
    both = f"adapter {own.sha256}\nbase {under.source.sha256}\n"
    source = Source(
        kind=place.kind,
        location=place.location or merge.outline.name,
        revision=place.revision,
        sha256=hashlib.sha256(both.encode()).hexdigest(),
        stored_as=under.source.stored_as,
        already_quantised=under.source.already_quantised,
        adapter=own,
    )
    if source.already_quantised:
        notes = (
            *notes,
            f"its base is quantised ({source.stored_as}): the adapter is added to the dequantised weights",
        )
    tensors = MergedTensors(under.tensors, merge.adapter, merge.changes, base_tied=under.architecture.tied)
    return merge.outline.with_weights(tensors, source, notes)


def outline_of_adapter(
    folder: Path, open_base: OpenBase[Outline], *, base: str | None = None, place: Place = Place()
) -> Outline:
    """The same without the base's weights."""
    config, stored, notes = _read(folder)
    outline = _merge(folder, config, stored, _open_base(config, folder, base, open_base), place).outline
    return replace(outline, notes=(*outline.notes, *notes))


def _read(folder: Path) -> tuple[AdapterConfig, dict[str, StoredTensor], tuple[str, ...]]:
    """Config, tensors, and what was forgiven of them."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        refuse_listing(listing(folder), str(folder))
        raise InputError(
            f"{folder} has {ADAPTER_CONFIG} and no {ADAPTER_WEIGHTS}, so an adapter without weights: "
            "fetch or save the whole adapter"
        )
    config = read_adapter_config(folder)
    stored, notes = unwrapped(str(folder), read_places(folder / ADAPTER_WEIGHTS))
    whole = sorted(name for name in WEIGHTS if (folder / name).is_file())
    both = f"{whole[0]} lies beside the adapter: adapter and base are taken, as by transformers" if whole else None
    return config, stored, (*config.notes, *notes, *([both] if both else []))


def _open_base(config: AdapterConfig, folder: Path, given: str | None, open_base: OpenBase[Base]) -> Base:
    """The base as given, else as the config names it: a path from here or from the adapter, or a hub id."""
    name, revision = given or config.base, None
    if name is None:
        raise InputError(f"{config.place} names no base model (base_model_name_or_path): give it with --base")
    if given is not None:
        if not Path(given).expanduser().exists() and (parts := _HUB_REVISION.fullmatch(given)):
            name, revision = parts[1], parts[2]
    elif Path(name).expanduser().exists():
        pass
    elif (folder / name).exists():
        name = str(folder / name)
    else:
        revision = config.base_revision
    try:
        return open_base(name, revision)
    except InputError as error:
        way = "" if given else " (--base names another)"
        raise InputError(f"{folder} is a LoRA adapter, and its base {name}{way} cannot be opened: {error}") from error


def _merge(folder: Path, config: AdapterConfig, stored: dict[str, StoredTensor], base: Outline, place: Place) -> _Merge:
    """What base and adapter say together, weights unread; the adapter's own tokenizer wins if it has one."""
    adapter = SafetensorsTensors(stored)
    changes = changes_of(config, stored, base.architecture)
    rows = vocabulary_of(changes, stored, base.architecture)
    architecture, left, parted = settle_tie(str(folder), base.architecture, changes, adapter)
    name = (place.location or folder.resolve().name).rsplit("/", 1)[-1]
    licence, unclear = licence_of_folder(folder)  # a base's licence says nothing of what was made of it
    notes = (*(f"its base: {note}" for note in base.notes), *parted, *unclear)
    if not (folder / "tokenizer.json").is_file():
        if rows != architecture.vocabulary:
            raise InputError(
                f"{folder} has an embedding of {rows} rows, its base {architecture.vocabulary}, and no tokenizer.json: "
                "save the tokenizer that it was trained with beside the adapter"
            )
        passed_over = [file for file in ("tokenizer_config.json", *FILES) if (folder / file).is_file()]
        if passed_over:
            which = " and ".join(passed_over)
            notes = (*notes, f"it has {which} and no tokenizer.json: tokenizer and chat template are its base's")
        said = base.ends_said
        merged = Outline(name, architecture, base.tokenizer, licence=licence, notes=notes, ends_said=said)
        return _Merge(merged, left, adapter)
    ends = Stated(f"the base {base.name}", architecture.end_ids)
    stated = StatedIds(architecture.bos_id, architecture.pad_id, ends, Stated(ends.place))
    tokenizer, ids = read_tokenizer_folder(folder, rows, stated, architecture.max_positions)
    architecture = replace(architecture, vocabulary=rows, bos_id=ids.bos, end_ids=ids.ends, pad_id=ids.pad)
    told = (*notes, *ids.notes, *chat_notes(tokenizer))
    merged = Outline(name, architecture, tokenizer, licence=licence, notes=told, ends_said=ids.said)
    return _Merge(merged, left, adapter)
