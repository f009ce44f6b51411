"""The live table of devices that work side by side: a line each, with what it is doing and how far it is.

Where no terminal is, the devices share a log instead.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from smolship import progress
from smolship.log_progress import ProgressLog
from smolship.progress import Advance, Silent
from smolship.terminal import bars_on, copy_of_stderr, is_quiet

HERE = "this host"


@dataclass(frozen=True)
class Fleet:
    """Who listens to work in several places at once; each listener may be called from a thread of its own."""

    here: progress.Progress
    """to what this host does"""
    of: Callable[[str], progress.Progress]
    """to what a device does, by its name"""


@contextmanager
def showing_fleet(names: Sequence[str]) -> Iterator[Fleet]:
    """The table on a terminal while the block runs, lines in a log elsewhere, nothing after `--quiet`."""
    if is_quiet():
        yield Fleet(Silent(), lambda _name: Silent())
        return
    with copy_of_stderr() as stream:
        if (console := bars_on(stream)) is not None:
            table = FleetTable(console, names)
            with table.bars:
                yield Fleet(table.here, table.of)
            return
        with ProgressLog(stream) as log:
            yield Fleet(log.listener(), log.listener)


class FleetTable:
    """A line for this host and one for each device; lines may be written to from several threads."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        columns = (
            TextColumn("{task.fields[device]}", style="bold"),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
        )
        self.bars = Progress(
            *columns,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lines = {name: Line(self.bars, name) for name in (HERE, *names)}

    @property
    def here(self) -> "Line":
        """The line of this host."""
        return self._lines[HERE]

    def of(self, name: str) -> "Line":
        """The line of a device."""
        return self._lines[name]


class Line:
    """One line, which shows the innermost of its tasks; see `smolship.progress.Progress`."""

    def __init__(self, bars: Progress, name: str) -> None:
        self._bars = bars
        self._bar: TaskID = bars.add_task("waits", total=1.0, device=escape(name))
        self._tasks: list[tuple[str, float | None, float]] = []

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """Show one task while the block runs, and then the one around it again."""
        self._tasks.append((description, total, 0.0))
        place = len(self._tasks) - 1

        def advance(amount: float, new: str | None = None) -> None:
            told, most, done = self._tasks[place]
            self._tasks[place] = (new or told, most, done + amount)
            self._show()

        self._show()
        try:
            yield advance
        finally:
            self._tasks.pop()
            self._show()

    def _show(self) -> None:
        description, total, done = self._tasks[-1] if self._tasks else ("has nothing to do", 1.0, 1.0)
        self._bars.update(self._bar, description=escape(description), total=total, completed=done)
