"""The files of an artefact's folder: which of them ship, and their hashes."""

import hashlib
from pathlib import Path

from smolship.artefact.manifest import MANIFEST_FILE, FileRecord

MEASUREMENTS_FILE = "measurements.json"
CARD_FILE = "README.md"
CARD_LINE = "<!-- Written by smolship. `smolship check` replaces this file as long as this line is in it. -->"
"""the line of a model card that tells it from a README.md that somebody else wrote"""


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """Every file below `folder` but the manifest, the measurements and the card, in the order of their names."""
    return tuple(
        FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in shipped(folder)
    )


def shipped(folder: Path) -> list[Path]:
    """Every file below `folder` but the manifest and what is measured later, in the order of their names."""
    beside = {MANIFEST_FILE, MEASUREMENTS_FILE} | ({CARD_FILE} if is_card(folder / CARD_FILE) else set())
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if path.name not in beside]


def is_card(path: Path) -> bool:
    """Whether the file is a model card that smolship wrote, and not somebody's own."""
    return path.is_file() and CARD_LINE.encode() in path.read_bytes().splitlines()
