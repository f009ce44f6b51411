"""How long work reports what it is doing, without knowing who listens (a terminal, a log, nobody)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called as the work goes on."""

    def __call__(self, amount: float, description: str | None = None, /) -> None:
        """`amount` was done since the last call, in the unit of the task's total; `description` is a new one."""
        ...


class Progress(Protocol):
    """A listener that shows tasks."""

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Advance]:
        """Show one task while the block runs; `total` is in any unit, `None` when it is not known."""
        ...


class Silent:
    """The listener that shows nothing: the default of every library function."""

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """See `Progress.task`."""
        yield lambda _amount, _description=None: None
