"""Which safetensors files of a folder hold its weights, and what their headers say, held against the index."""

from dataclasses import dataclass
from pathlib import Path

from smolship.checkpoint.folder.json_file import read_object
from smolship.checkpoint.folder.safetensors_file import StoredTensor, read_places
from smolship.errors import InputError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Weights:
    """The weights of a folder, unread."""

    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]
    """by the name that each has in its file"""
    notes: tuple[str, ...] = ()


def find_weights(folder: Path) -> Weights:
    """The single file's tensors, which wins over an index as in transformers, or those of the files in the index.

    `InputError` if there are none, if one of the index is missing, or if it and the files differ over what lies where.
    """
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file():
        both = f"{SINGLE} and {INDEX} are both there: {SINGLE} is taken, as transformers does"
        of_others = index.exists() and set(indexed(folder).values()) != {SINGLE}
        return Weights((single,), read_places(single), (both,) if of_others else ())
    if not index.exists():
        raise InputError(f"{folder} holds no {SINGLE} and no {INDEX}: give the folder of a whole checkpoint")
    where = indexed(folder)
    files = tuple(sorted({folder / file for file in where.values()}))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(f"{folder} lacks {', '.join(missing)} of the {len(files)} files in its index: fetch them all")
    headers = {file.name: read_places(file) for file in files}
    _compare(folder, where, headers)
    return Weights(files, {name: place for header in headers.values() for name, place in header.items()})


def indexed(folder: Path) -> dict[str, str]:
    """The file of each tensor, as the index says; `InputError` if it says nothing."""
    index = folder / INDEX
    mapping = read_object(index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise InputError(f"{index} has no weight_map, wanted tensor names and their files: fetch it again")
    return {str(name): Path(str(file)).name for name, file in mapping.items()}


def listing(folder: Path) -> list[str]:
    """The files in a folder and in the folders in it, by path from there."""
    here = [path for path in folder.iterdir() if not path.name.startswith(".")]
    below = [inner for path in here if path.is_dir() for inner in path.iterdir()]
    deepest = [inner for path in below if path.is_dir() and path.parent.name == "snapshots" for inner in path.iterdir()]
    return sorted(path.relative_to(folder).as_posix() for path in (*here, *below, *deepest) if not path.is_dir())


def _compare(folder: Path, where: dict[str, str], headers: dict[str, dict[str, StoredTensor]]) -> None:
    """`InputError` names the first tensor that the index and the files' headers place differently."""
    listed = set(where.items())
    held = {(name, file) for file, header in headers.items() for name in header}
    for name, file in sorted(listed - held):
        raise InputError(f"{folder}/{INDEX} has {name} in {file}, which does not hold it: fetch the whole folder again")
    for name, file in sorted(held - listed):
        raise InputError(
            f"{folder}/{file} holds {name}, which {INDEX} has elsewhere or not at all: fetch the whole folder again"
        )
