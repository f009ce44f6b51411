"""How long work reports what it is doing, without knowing who listens (a terminal, a log, nobody)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

Advance = Callable[[float], None]
"""Called with the amount of work done since the last call, in the unit of the task's total."""


class Progress(Protocol):
    """A listener that shows tasks; `total` is in any unit, `None` when it is not known."""

    def task(self, description: str, total: float | None = None) -> "TaskContext": ...


class TaskContext(Protocol):
    """A context manager that yields the function which advances its task."""

    def __enter__(self) -> Advance: ...
    def __exit__(self, *exc: object) -> bool | None: ...


class Silent:
    """The listener that shows nothing: the default of every library function."""

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        yield lambda amount: None
