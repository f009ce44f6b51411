"""`Artefact`: a folder that can be shipped, and `manifest.json`, which says what it is and how it was made.

Written beside its place and renamed into it, so it is whole or not there. What is measured later stands in
`measurements.json` and in the model card, `README.md`, outside the manifest and its hashes.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from smolship.errors import InputError

MANIFEST_FILE = "manifest.json"
MEASUREMENTS_FILE = "measurements.json"
CARD_FILE = "README.md"
CARD_LINE = "<!-- Written by smolship. `smolship check` replaces this file as long as this line is in it. -->"
"""the line of a model card that tells it from a README.md that somebody else wrote"""
_PARTIAL = ".partial-"
# `None` is numpy's: a write that came up short has no number there.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceRecord(_Record):
    """The checkpoint an artefact was made from."""

    name: str
    kind: str
    location: str
    revision: str | None
    sha256: str
    stored_as: str
    already_quantised: bool
    """if true, figures of low-bit files made from it flatter: its weights already lie on a low-bit grid"""
    instruct: bool


class FileRecord(_Record):
    """One file of an artefact."""

    path: str
    bytes: int
    sha256: str


class TensorRecord(_Record):
    """One line of the coverage table."""

    tensor: str
    shape: tuple[int, ...]
    grid: str
    bits_per_weight: float
    relative_error: float | None
    """of the weights; `None` in a file made elsewhere, whose weights nobody compared"""
    output_error: float | None = None
    """calibrated: of the matrix's output on the calibration text, tokens weighted by their curvature"""


class DivergenceRecord(_Record):
    """The weights at one stage against the checkpoint, both in float32, on a text that calibration did not see."""

    text: str
    tokens: int
    kl: float
    top1: float
    perplexity: float
    reference_perplexity: float


class StageRecord(_Record):
    """One step from the checkpoint to the codes, and how far the model was from it then."""

    name: str
    divergences: tuple[DivergenceRecord, ...]


class Manifest(_Record):
    """The contents of `manifest.json`; its JSON Schema is `manifest.schema.json` in this package."""

    manifest_version: Literal[1] = 1
    source: SourceRecord
    format: str
    recipe: str
    rounding: str
    calibration: str | None = None
    """the text that calibrated rounding looked at"""
    stages: tuple[StageRecord, ...] = ()
    context: int
    """tokens of prompt and answer together that the files are made for"""
    model_file: str
    bits_per_weight: float
    predicted_divergence: float | None = None
    """of a file whose grids were chosen to fit: mean KL divergence in nats, foreseen on calibration text"""
    versions: dict[str, str]
    """of smolship and of the libraries that took part in writing the files"""
    files: tuple[FileRecord, ...]
    coverage: tuple[TensorRecord, ...]

    @property
    def bytes(self) -> int:
        """Size on disk of everything that ships, the manifest apart."""
        return sum(file.bytes for file in self.files)

    @property
    def model_bytes(self) -> int:
        """Size of the model's own files: the model file and what external data lies beside it."""
        return sum(file.bytes for file in self.files if file.path.startswith(self.model_file))


@dataclass(frozen=True)
class Foreign:
    """What is said of a file made elsewhere, which no `manifest.json` says."""

    made_by: str
    """what writes such files, in words"""
    parameters: int
    """of the checkpoint it is held against"""
    model_bytes: int
    """size of the model file and its external data, whatever that is called"""
    notes: tuple[str, ...]
    """what was chosen for it and what is not known of it, a sentence each"""


@dataclass(frozen=True)
class Artefact:
    """An artefact's folder and its manifest; of a file made elsewhere, a manifest that was never written."""

    folder: Path
    manifest: Manifest
    foreign: Foreign | None = None
    """`None` for what this tool made; nothing is ever written beside what it did not make"""

    @property
    def is_ours(self) -> bool:
        """Whether this tool made it."""
        return self.foreign is None

    @property
    def format(self) -> str:
        """A key of the table of formats."""
        return self.manifest.format

    @property
    def name(self) -> str:
        """What messages call it: its folder's name, or the name by which a file made elsewhere goes."""
        return self.folder.name if self.foreign is None else self.manifest.recipe

    @property
    def made_by(self) -> str:
        """What wrote it."""
        return "smolship" if self.foreign is None else self.foreign.made_by

    @property
    def parameters(self) -> int:
        """How many weights the model has, the tied embedding counted once."""
        if self.foreign is not None:
            return self.foreign.parameters
        return sum(prod(tensor.shape) for tensor in self.manifest.coverage)

    @property
    def model_bytes(self) -> int:
        """Size of the model's own files."""
        return self.manifest.model_bytes if self.foreign is None else self.foreign.model_bytes

    @property
    def model_path(self) -> Path:
        """The model file."""
        return self.folder / self.manifest.model_file

    @classmethod
    def open(cls, folder: Path) -> "Artefact":
        """Read the manifest of `folder`; `InputError` if there is none or it is not one of ours."""
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise InputError(f"{folder} has no {MANIFEST_FILE}: give a folder that `smolship build` wrote")
        try:
            return cls(folder, Manifest.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(
                f"{path} is not a manifest this version reads ({where}: {first['msg']}): build it again"
            ) from None

    def verify(self) -> None:
        """Compare every file with the manifest's size and sha256; `InputError` names the first that differs."""
        for record in self.manifest.files:
            path = self.folder / record.path
            if not path.is_file():
                raise InputError(f"{path} is missing, though {MANIFEST_FILE} lists it: build the artefact again")
            if path.stat().st_size != record.bytes or sha256_of(path) != record.sha256:
                raise InputError(
                    f"{path} is not the file that {MANIFEST_FILE} lists (its bytes differ): build it again"
                )


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """Every file below `folder` but the manifest, the measurements and the card, in the order of their names."""
    return tuple(
        FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in _shipped(folder)
    )


def _shipped(folder: Path) -> list[Path]:
    beside = {MANIFEST_FILE, MEASUREMENTS_FILE} | ({CARD_FILE} if is_card(folder / CARD_FILE) else set())
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if path.name not in beside]


def is_card(path: Path) -> bool:
    """Whether the file is a model card that smolship wrote, and not somebody's own."""
    return path.is_file() and CARD_LINE.encode() in path.read_bytes().splitlines()


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
    foreign = sorted({path.relative_to(place).as_posix() for path in _shipped(place)} - listed)
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
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}{_PARTIAL}", dir=place.parent))
    except OSError as error:
        raise InputError(f"cannot write below {place.parent} ({error.strerror}): choose another --out") from error
    try:
        yield folder
        _sync(folder)
        _replace(folder, place)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise _explained(error, place) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step; `InputError` if the disk is full or refuses."""
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            try:
                file.write(data)
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
