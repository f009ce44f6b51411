"""The sha256 of weights at rest."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from smolship.progress import Progress, Silent

_CHUNK = 1 << 22


def weights_digest(files: Sequence[Path], progress: Progress = Silent()) -> str:
    """One file's sha256, or that of the sorted `name digest` lines of several; read in chunks, once."""
    total = sum(file.stat().st_size for file in files)
    lines = []
    with progress.task("Hashing the weights", total) as advance:
        for file in sorted(files, key=lambda path: path.name):
            digest = hashlib.sha256()
            with file.open("rb", buffering=0) as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    advance(len(chunk))
            lines.append(f"{file.name} {digest.hexdigest()}\n")
    if len(files) == 1:
        return lines[0].split()[-1]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
