"""Whether embedding and head are still one matrix after an adapter has changed them."""

from collections.abc import Mapping
from math import prod

import numpy as np

from smolship.checkpoint.adapter.changes import HEAD, Change, LowRank
from smolship.checkpoint.adapter.merging import factors
from smolship.checkpoint.architecture import EMBEDDING, Architecture
from smolship.checkpoint.safetensors_file import STORED, SafetensorsTensors
from smolship.errors import InputError

_CHUNK = 1 << 22


def settle_tie(
    place: str, architecture: Architecture, changes: Mapping[str, Change], adapter: SafetensorsTensors
) -> tuple[Architecture, dict[str, Change]]:
    """The architecture after the changes, tied or not, and the changes that are left of its tensors.

    What the model computed in training decides. A tied base's embedding and head stay one if both change alike, or if
    only rows of the embedding were trained, which PEFT ties too; otherwise they are two from then on. PEFT's
    `merge_and_unload` agrees where whole matrices were trained; a LoRA on one of the two it adds to both, with a
    warning, which is another model than was trained, unless the base was loaded untied.
    """
    _require_same_copies(place, changes, adapter)
    if HEAD in architecture.shapes():
        return architecture, dict(changes)
    embedding, head = changes.get(EMBEDDING, Change()), changes.get(HEAD, Change())
    if same(embedding, head, adapter) or (head == Change() and embedding.rows is not None):
        return architecture, {name: change for name, change in changes.items() if name != HEAD}
    if embedding.whole is not None and head.whole is None:
        rows = adapter.places[embedding.whole].shape[0]
        if rows != architecture.vocabulary:
            raise InputError(
                f"{place} has an embedding of {rows} rows and no head, its base one of {architecture.vocabulary}: "
                "save the adapter with save_embedding_layers=True"
            )
    return _untied(place), dict(changes)


def _untied(place: str) -> Architecture:
    raise InputError(
        f"{place} changes embedding and head of a tied model differently, so that they are two matrices, wanted one: "
        "train it with ensure_weight_tying=True, or leave embed_tokens and lm_head out of it"
    )


def same(one: Change, other: Change, adapter: SafetensorsTensors) -> bool:
    """Whether two changes do the same to the same matrix, bit by bit."""
    if (one.whole is None) != (other.whole is None) or (one.rows is None) != (other.rows is None):
        return False
    pairs = [(one.whole, other.whole), (one.rows, other.rows)]
    if one.indices != other.indices or not all(_same_bytes(adapter, a, b) for a, b in pairs if a and b):
        return False
    if one.low_rank is None or other.low_rank is None:
        return one.low_rank is other.low_rank
    return _same_product(one.low_rank, other.low_rank, adapter)


def _same_product(one: LowRank, other: LowRank, adapter: SafetensorsTensors) -> bool:
    if one.scaling != other.scaling or one.magnitude is not None or other.magnitude is not None:
        return False
    pairs = zip(factors(adapter, one), factors(adapter, other), strict=True)
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def _same_bytes(adapter: SafetensorsTensors, one: str, other: str) -> bool:
    """Whether two stored tensors are the same; read in chunks."""
    mine, theirs = adapter.places[one], adapter.places[other]
    if (mine.storage, mine.shape) != (theirs.storage, theirs.shape):
        return False
    size = prod(mine.shape) * np.dtype(STORED[mine.storage][1]).itemsize
    views = [np.memmap(place.path, np.uint8, "r", place.offset, size) for place in (mine, theirs)]
    chunks = (slice(begin, begin + _CHUNK) for begin in range(0, size, _CHUNK))
    return all(np.array_equal(views[0][chunk], views[1][chunk]) for chunk in chunks)


def _require_same_copies(place: str, changes: Mapping[str, Change], adapter: SafetensorsTensors) -> None:
    """`InputError` if an adapter stores a trained matrix twice and differently."""
    for change in changes.values():
        for copy in change.copies:
            if change.whole is not None and not _same_bytes(adapter, change.whole, copy):
                raise InputError(
                    f"{place} has {change.whole} and {copy}, which are one tensor and differ: save it again"
                )
