"""Files to send, and a listener to their progress that does something amid it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smolship.progress import Advance


class Meddler:
    """A listener that counts, and does something once some bytes are on their way."""

    def __init__(self, after: float, act: Callable[[], None]) -> None:
        self._after, self._act = after, act
        self.total = 0.0

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        def advance(amount: float, _description: str | None = None, /) -> None:
            before, self.total = self.total, self.total + amount
            if before < self._after <= self.total:
                self._act()

        yield advance


def write(path: Path, size: int) -> str:
    """Random bytes in a file; their SHA-256."""
    data = os.urandom(size)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
