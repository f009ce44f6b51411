"""`TextFile`: a text of the user's, read once."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from smolship.errors import InputError


@dataclass(frozen=True)
class TextFile:
    """What a file says, and what names it."""

    name: str
    content: str
    """with line ends as `\\n`"""
    sha256: str
    """of the file as it lies there"""


def read_text_file(path: Path, wanted: str) -> TextFile:
    """The UTF-8 file at `path` (`.gz` is unpacked); `InputError` ends in what is `wanted` if it cannot be read."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error}): {wanted}") from error
    content = text.replace("\r\n", "\n").replace("\r", "\n")
    return TextFile(path.name, content, hashlib.sha256(data).hexdigest())
