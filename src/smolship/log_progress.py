"""Progress where no terminal is, such as in CI: plain lines when a stage begins, each minute of it, and when it ends.

    [  0:00] measure curvature ...
    [  1:00] measure curvature: 31 %, about 2 min left
    [  3:12] measure curvature: done in 192 s; 1.9 GB of memory at most so far

The time in brackets is minutes and seconds since the log was opened. A stage that is over within a second leaves no
line, so that hundreds of small ones do not bury the rest. A stage inside another one is indented.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self, TextIO

from smolship.progress import Advance
from smolship.stopwatch import peak_memory


@dataclass(frozen=True)
class Pace:
    """When something is said of a stage, in seconds."""

    patience: float = 1.0
    """how long a stage lasts before it is worth a line"""
    tick: float = 60.0
    """between two lines about a stage that goes on"""


@dataclass(eq=False)
class _Stage:
    """A task that runs, in seconds since the log was opened and in the unit of its total."""

    name: str
    total: float | None
    indent: str
    began: float
    now: str
    """its newest description"""
    done: float = 0.0
    ticks: int = 0
    told: tuple[float, float] | None = None
    """when its first line was written, and how much was done by then"""

    def advance(self, amount: float, description: str | None = None, /) -> None:
        """See `Advance`."""
        self.done += amount
        self.now = description or self.now

    def state(self, at: float) -> str:
        """How far it is, and how long the rest takes at the speed since its first line.

        What was done before that line may have been found done, by a run that goes on where another one stopped.
        """
        if not self.total or self.told is None:
            return f"{_rounded(at - self.began)} so far"
        share = f"{100 * min(self.done / self.total, 1):.0f} %"
        since, before = self.told
        left, made = self.total - self.done, self.done - before
        return f"{share}, about {_rounded((at - since) * left / made)} left" if left > 0 and made > 0 else share


class ProgressLog:
    """Writes to `stream` while it is open, by a thread of its own: work inside one long call ticks as well.

    `clock` gives seconds. A stream that nobody reads any more is no reason to stop the work: nothing is raised.
    """

    def __init__(self, stream: TextIO, pace: Pace = Pace(), clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._pace, self._clock = stream, pace, clock
        self._start = clock()
        self._stages: list[_Stage] = []
        self._lock = Lock()
        self._over = Event()
        self._thread = Thread(target=self._watch, name="progress log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def listener(self, name: str = "") -> "LogProgress":
        """A listener for work that goes on beside that of others; its lines begin with its name."""
        return LogProgress(self, name)

    def write(self, text: str, at: float | None = None) -> None:
        """One line, stamped with a time since the log was opened, by default now."""
        minutes, seconds = divmod(int(self.seconds() if at is None else at), 60)
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        with suppress(OSError):
            self._stream.write(f"[{minutes:3}:{seconds:02}] {printable}\n")
            self._stream.flush()

    def seconds(self) -> float:
        """Since the log was opened."""
        return self._clock() - self._start

    def look(self) -> None:
        """Write what is due by now: first lines and ticks. The thread does this; a missed tick is not made up for."""
        with self._lock:
            now = self.seconds()
            self._tell_new(now)
            for stage in self._stages:
                ticks = int((now - stage.began) / self._pace.tick)
                if ticks > stage.ticks:
                    stage.ticks = ticks
                    self.write(f"{stage.indent}{stage.now}: {stage.state(now)}", now)

    def begin(self, name: str, total: float | None, indent: str) -> _Stage:
        """Watch a stage from now on."""
        with self._lock:
            self._stages.append(stage := _Stage(name, total, indent, self.seconds(), name))
            return stage

    def end(self, stage: _Stage, how: str) -> None:
        """Watch it no more, and write how it ended if it is worth a line."""
        with self._lock:
            now = self.seconds()
            self._tell_new(now)  # the thread may not have had its turn: not every library lets go of the interpreter
            self._stages.remove(stage)
            if stage.told is None:
                return
            took = now - stage.began
            memory = f"; {peak_memory() / 1e9:.1f} GB of memory at most so far" if took >= self._pace.tick else ""
            self.write(f"{stage.indent}{stage.name}: {how} {took:.0f} s{memory}", now)

    def _tell_new(self, now: float) -> None:
        """First lines, in the order in which stages began, so that an outer one stands before an inner one."""
        for stage in self._stages:
            if stage.told is None and now - stage.began >= self._pace.patience:
                stage.told = (now, stage.done)
                self.write(f"{stage.indent}{stage.name} ...", stage.began)

    def _watch(self) -> None:
        while not self._over.wait(self._pace.patience / 2):
            self.look()


class LogProgress:
    """One line of work in a log; see `smolship.progress.Progress`."""

    def __init__(self, log: ProgressLog, name: str) -> None:
        self._log = log
        self._name = f"{name}: " if name else ""
        self._running = 0

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """See `Progress.task`; one that fails is said to be broken off."""
        stage = self._log.begin(f"{self._name}{description}", total, "  " * self._running)
        self._running += 1
        how = "broken off after"
        try:
            yield stage.advance
            how = "done in"
        finally:
            self._running -= 1
            self._log.end(stage, how)


def _rounded(seconds: float) -> str:
    """A time that is an estimate or not over yet."""
    if seconds < 55:
        return f"{10 * max(round(seconds / 10), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
