"""Whether embedding and head are still one matrix after an adapter has changed them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from smolship.checkpoint.adapter.change import Change, LowRank
from smolship.checkpoint.adapter.merging import factors
from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.folder.safetensors_file import SafetensorsTensors, read_rows
from smolship.checkpoint.head import Matrix
from smolship.errors import InputError

Settled = tuple[Architecture, dict[str, Change], tuple[str, ...]]
"""the architecture after the changes, tied or not; the changes of its tensors; a note if one matrix became two"""


def settle_tie(
    place: str, architecture: Architecture, changes: Mapping[str, Change], adapter: SafetensorsTensors
) -> Settled:
    """What the model computed in training decides; `InputError` if the adapter leaves out rows of the head.

    A tied base's embedding and head stay one if both change alike, or if only rows of the embedding were trained, which
    PEFT ties too; otherwise they are two from then on. PEFT's `merge_and_unload` agrees where whole matrices were
    trained. A LoRA on one of them it adds to the matrix that both are, with a warning: that is another model than was
    trained, and so the clone that the warning advises is followed here.
    """
    _require_same_copies(place, changes, adapter)
    embedding, head = changes.get(EMBEDDING, Change()), changes.get(HEAD, Change())
    alike = same(embedding, head, adapter) or (head == Change() and embedding.rows is not None)
    if architecture.tied and alike:
        return architecture, {name: change for name, change in changes.items() if name != HEAD}, ()
    if embedding.whole is not None and head.whole is None:
        rows = adapter.places[embedding.whole].shape[0]
        if rows != architecture.vocabulary:
            raise InputError(
                f"{place} has an embedding of {rows} rows and no head, its base one of {architecture.vocabulary}: "
                "save the adapter with save_embedding_layers=True"
            )
    note = "its base has one matrix for embedding and head, and the adapter changes them differently: they are two now"
    return replace(architecture, tied=False), dict(changes), (note,) if architecture.tied else ()


def same(one: Change, other: Change, adapter: SafetensorsTensors) -> bool:
    """Whether two changes do the same to the same matrix, number by number."""
    if (one.whole is None) != (other.whole is None) or (one.rows is None) != (other.rows is None):
        return False
    pairs = [(one.whole, other.whole), (one.rows, other.rows)]
    if one.indices != other.indices or not all(_same_stored(adapter, a, b) for a, b in pairs if a and b):
        return False
    if one.low_rank is None or other.low_rank is None:
        return one.low_rank is other.low_rank
    return _same_product(one.low_rank, other.low_rank, adapter)


def _same_product(one: LowRank, other: LowRank, adapter: SafetensorsTensors) -> bool:
    if one.scaling != other.scaling or one.magnitude is not None or other.magnitude is not None:
        return False
    pairs = zip(factors(adapter, one), factors(adapter, other), strict=True)
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def _same_stored(adapter: SafetensorsTensors, *names: str) -> bool:
    places = [adapter.places[name] for name in names]
    one, other = (Matrix(name, at.shape, partial(read_rows, at)) for name, at in zip(names, places, strict=True))
    return one.same_as(other)


def _require_same_copies(place: str, changes: Mapping[str, Change], adapter: SafetensorsTensors) -> None:
    """`InputError` if an adapter stores a trained matrix twice and differently."""
    for change in changes.values():
        for copy in change.copies:
            if change.whole is not None and not _same_stored(adapter, change.whole, copy):
                raise InputError(
                    f"{place} has {change.whole} and {copy}, which are one tensor and differ: save it again"
                )
