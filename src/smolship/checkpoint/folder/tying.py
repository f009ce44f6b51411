"""Whether a folder's head is its embedding: its config against its weights, or what there is of them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.folder.safetensors_file import STORED, StoredTensor, read_rows
from smolship.checkpoint.folder.tensor_names import plain_names
from smolship.checkpoint.folder.weight_files import INDEX, SINGLE, find_weights, indexed
from smolship.checkpoint.head import Matrix, decide_tie, untied_without_head

Decided = tuple[Architecture, tuple[str, ...]]
"""the architecture, tied or not as the weights have it, and a sentence where its config says otherwise"""


def with_head(architecture: Architecture, found: Mapping[str, StoredTensor]) -> Decided:
    """By the weights, under transformers' names."""
    embedding, head = found.get(EMBEDDING), found.get(HEAD)
    if embedding is None:
        alone = f"{_says(architecture)}, and the weights hold {HEAD} alone: it is {EMBEDDING} too, as in transformers 5"
        return architecture, (alone,) if head and architecture.tied else ()
    if head is not None and not {embedding.storage, head.storage} <= STORED.keys():
        return replace(architecture, tied=False), ()  # what cannot be compared is refused by name
    matrices = _matrix(EMBEDDING, embedding), None if head is None else _matrix(HEAD, head)
    tied, notes = decide_tie(architecture.tied, _says(architecture), *matrices)
    return replace(architecture, tied=tied), notes


def foreseen_head(folder: Path, architecture: Architecture) -> Decided:
    """The same by what there is of the weights: all files, their index alone, or nothing."""
    listed = {} if (folder / SINGLE).is_file() or not (folder / INDEX).exists() else indexed(folder)
    if listed and not all((folder / file).is_file() for file in listed.values()):
        return _by_index(architecture, listed)
    if not listed and not (folder / SINGLE).is_file():
        return architecture, ()
    found, _ = plain_names(str(folder), find_weights(folder).tensors)
    return with_head(architecture, found)


def _by_index(architecture: Architecture, listed: Mapping[str, str]) -> Decided:
    if HEAD not in listed and not architecture.tied:
        raise untied_without_head(_says(architecture))
    if HEAD in listed and EMBEDDING in listed and architecture.tied:
        unsure = f"{_says(architecture)}, and {INDEX} lists {HEAD}: if that differs from {EMBEDDING}, it is kept too"
        return architecture, (unsure,)
    return architecture, ()


def _says(architecture: Architecture) -> str:
    return f"config.json {'says' if architecture.tied else 'does not say'} tie_word_embeddings true"


def _matrix(name: str, place: StoredTensor) -> Matrix:
    return Matrix(name, place.shape, partial(read_rows, place))
