"""What a person sees: consoles, progress as bars or in a log, and tables; nothing here decides anything."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO, TextIOWrapper
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from smolship import progress
from smolship.log_progress import ProgressLog
from smolship.progress import Advance, Silent

QUIET = "SMOLSHIP_QUIET"
"""The environment variable that `--quiet` sets to 1: nothing is then said about progress."""


def output() -> Console:
    """Where results go: stdout, as wide as the terminal, or wide enough for a table when piped."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def messages() -> Console:
    """Where sentences about what went wrong go: stderr."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


@contextmanager
def showing_progress() -> Iterator[progress.Progress]:
    """Bars on a terminal, lines in a log elsewhere, nothing after `--quiet`."""
    if is_quiet():
        yield Silent()
        return
    with copy_of_stderr() as stream:
        if (console := bars_on(stream)) is not None:
            yield TerminalProgress(console)
            return
        with ProgressLog(stream) as log:
            yield log.listener()


def is_quiet() -> bool:
    """Whether nothing is to be said about progress."""
    return os.environ.get(QUIET) == "1"


def copy_of_stderr() -> TextIO:
    """Stderr again, so that silencing a library's does not silence this one; every line is there at once and whole."""
    encoding = sys.stderr.encoding or "utf-8"
    return TextIOWrapper(FileIO(os.dup(2), "w"), encoding, errors="backslashreplace", write_through=True)


def bars_on(stream: TextIO) -> Console | None:
    """A console that can draw bars on `stream`, if that is a terminal where lines can be drawn over.

    What CI sets to have colours in its log (FORCE_COLOR) makes no terminal of it.
    """
    console = Console(file=stream, highlight=False)
    return console if stream.isatty() and console.is_interactive else None


class TerminalProgress:
    """Bars with the time left; see `smolship.progress.Progress`."""

    def __init__(self, console: Console) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(
            *columns,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._running = 0

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """Show one bar while the block runs; `total=None` shows how long it has taken so far."""
        if not self._running:
            self._bars.start()
        self._running += 1
        bar: TaskID = self._bars.add_task(description, total=total)
        try:
            yield lambda amount, description=None: self._bars.update(bar, advance=amount, description=description)
        finally:
            self._bars.remove_task(bar)
            self._running -= 1
            if not self._running:
                self._bars.stop()


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str] = (),
    *,
    dense: bool = False,
) -> Table:
    """A table of text; columns named in `numbers` are set to the right; `dense` fits ten columns into a terminal."""
    gap = 0 if dense else 1
    made = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for name in columns:
        made.add_column(
            escape(name), justify="right" if name in numbers else "left", overflow="fold", vertical="bottom"
        )
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def megabytes(count: int) -> str:
    """Bytes in MB of a million, as app stores count them."""
    return f"{count / 1e6:.2f} MB"
