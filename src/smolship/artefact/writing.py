"""Writing an artefact: beside its place and renamed into it, so that it is whole or not there."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO

from smolship.artefact.artefact import Artefact
from smolship.artefact.files import shipped
from smolship.errors import InputError

_PARTIAL = ".partial-"
# `None` is numpy's: a write that came up short has no number there.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None)


def refuse_foreign(place: Path) -> None:
    """`InputError` if no folder can be at `place`, or it is no artefact of ours and would be lost with its files."""
    if not place.exists():
        nearest = next(folder for folder in place.absolute().parents if folder.exists())
        if not nearest.is_dir():
            raise InputError(f"cannot write below {place.parent} ({nearest} is a file): choose another --out")
        return
    if not place.is_dir():
        raise InputError(f"{place} is a file, where an artefact's folder should go: choose another --out")
    if not any(place.iterdir()):
        return
    try:
        listed = {record.path for record in Artefact.open(place).manifest.files}
    except InputError:
        raise InputError(f"{place} holds something that smolship did not write: choose another --out") from None
    foreign = sorted({path.relative_to(place).as_posix() for path in shipped(place)} - listed)
    if foreign:
        raise InputError(
            f"{place} is to be replaced and holds {', '.join(foreign[:3])}, which smolship did not write: "
            "move that away, or choose another --out"
        )


@contextmanager
def staged(place: Path) -> Iterator[Path]:
    """A temporary sibling of `place` to write in; renamed into `place` at the end, removed if anything goes wrong.

    An artefact that stood at `place` gives way only when the new one is whole. A full disk is an `InputError`.
    """
    refuse_foreign(place)
    folder = place.parent / f".{place.name}{_PARTIAL}{token_hex(8)}"  # named before it is there: a stop may come then
    try:
        _make(folder)
        yield folder
        _sync(folder)
        _replace(folder, place)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise _explained(error, place) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise InputError(f"cannot write below {folder.parent} ({error.strerror}): choose another --out") from error


def write_all(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into `folder`, which is made if it is not there, each in one step; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_atomically(folder / name, data)
    return [folder / name for name in contents]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step; `InputError` if the disk is full or refuses."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that replaces the one at `path` in one step when the block ends well, and is gone if it does not.

    `InputError` if the disk is full or refuses.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial.chmod(0o644)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _explained(error, path) from error


def _explained(error: OSError, place: Path) -> InputError:
    return InputError(
        f"cannot write {place} ({error.strerror or error}): nothing was changed; free some room or choose another --out"
    )


def _sync(folder: Path) -> None:
    folder.chmod(0o755)
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(folder: Path, place: Path) -> None:
    """Rename `folder` to `place`; what stood there is moved aside first, brought back if that fails, removed last."""
    if not place.exists():
        folder.rename(place)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}{_PARTIAL}", dir=place.parent))
    old = aside / "old"
    try:
        place.rename(old)
        folder.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
