"""A listener that hands every task on to another one, and notes how long each took and the memory by its end."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from smolship.progress import Advance, Progress


@dataclass(frozen=True)
class Lap:
    """One task that is over."""

    name: str
    seconds: float
    peak_memory: int
    """bytes: the most that the process has had resident until the task's end"""


class Stopwatch:
    """See `smolship.progress.Progress`; `laps` in the order in which the tasks ended."""

    def __init__(self, listener: Progress) -> None:
        self._listener = listener
        self.laps: list[Lap] = []

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """See `Progress.task`; a task that fails is no lap."""
        start = time.monotonic()
        with self._listener.task(description, total) as advance:
            yield advance
        self.laps.append(Lap(description, time.monotonic() - start, peak_memory()))


def peak_memory() -> int:
    """Bytes: the most that this process has had resident so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, Linux in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
