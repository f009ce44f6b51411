"""`Kit`: a folder of programs packed for a device, made once for its platform and found again by its content."""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from smolship.artefact import sha256_of
from smolship.cache import cache_folder
from smolship.errors import InputError, unknown_name
from smolship.progress import Progress, Silent
from smolship.runtime_checks.kits.platform import Platform

ARCHIVE = "kit.tar.gz"

OWN_LLAMA_CPP = "gguf-installed"
KITS: dict[str, str] = {
    "gguf": "kit_gguf",
    OWN_LLAMA_CPP: "kit_gguf_installed",
    "onnx": "kit_onnx",
    "executorch": "kit_executorch",
}
"""by format: the module that makes the kit of its runtime"""


class Maker(Protocol):
    """What a module of `KITS` has."""

    def contents(self, platform: Platform) -> str:
        """What decides the kit's bytes, on one line; `InputError` if there is no kit for such a platform."""
        ...

    def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
        """Write the kit's files into an empty folder; `InputError` if something for it cannot be had here."""
        ...

    def command(self, kit: str, probe: str) -> list[str]:
        """What runs the probe on the device, a job's file apart: paths there of the kit and of the probe's folder."""
        ...


@dataclass(frozen=True)
class Kit:
    """One packed kit on this machine."""

    format: str
    archive: Path
    name: str
    """of its folder on a device: the format and the beginning of the archive's SHA-256"""
    unpacked: int
    """bytes of its files"""

    def command(self, kit: str, probe: str) -> list[str]:
        """See `Maker.command`."""
        return _maker(self.format).command(kit, probe)


def kit_for(format_name: str, platform: Platform, progress: Progress = Silent()) -> Kit:
    """The kit of a format's runtime for a platform, made now if it is not in the cache.

    `InputError` if that runtime has no kit for such a platform, or if something for it cannot be had here.
    """
    maker = _maker(format_name)
    key = hashlib.sha256(f"{platform}; {maker.contents(platform)}".encode()).hexdigest()[:16]
    place = cache_folder() / "kits" / f"{format_name}-{key}"
    if not (place / ARCHIVE).is_file():
        with progress.task(f"Putting together what {format_name} files need on {platform}"):
            _make(maker, platform, place, progress)
    archive = place / ARCHIVE
    try:
        with tarfile.open(archive, "r:gz") as packed:
            unpacked = sum(member.size for member in packed.getmembers())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}): remove {place}, and it is made again") from error
    return Kit(format_name, archive, f"{format_name}-{sha256_of(archive)[:16]}", unpacked)


def require_kit(format_name: str, platform: Platform) -> None:
    """`InputError` if that runtime has no kit for such a platform."""
    _maker(format_name).contents(platform)


def _maker(format_name: str) -> Maker:
    if format_name not in KITS:
        raise unknown_name("format", format_name, list(KITS))
    return cast(Maker, import_module(f"smolship.runtime_checks.kits.{KITS[format_name]}"))


def _make(maker: Maker, platform: Platform, place: Path, progress: Progress) -> None:
    """Beside its place, and renamed into it: a kit that is there is whole, whoever else makes one meanwhile."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    except OSError as error:
        raise InputError(
            f"cannot write to {place.parent} ({error.strerror}): set SMOLSHIP_CACHE to a folder"
        ) from error
    try:
        files, made = work / "files", work / "made"
        for folder in (files, made):
            folder.mkdir()
        maker.assemble(platform, files, progress)
        pack(files, made / ARCHIVE)
        try:
            made.rename(place)
        except OSError:
            if not (place / ARCHIVE).is_file():  # or else somebody was quicker
                raise
    except OSError as error:
        raise InputError(f"cannot make {place} ({error.strerror or error}): free some room there") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pack(folder: Path, archive: Path, below: str = "") -> None:
    """Pack a folder's files as `below` + their names, without times and owners: the same files, the same bytes."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, dereference=True) as packed,
    ):
        for path in _files(folder):
            member = packed.gettarinfo(path, below + path.relative_to(folder).as_posix())
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                packed.addfile(member, file)


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
