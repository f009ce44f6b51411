"""Where progress goes: bars on a terminal, lines elsewhere, by a thread of the log's own, and nothing after --quiet."""

import io
import os
import pty
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO

import pytest

from smolship.fleet_table import Line, showing_fleet
from smolship.log_progress import LogProgress, Pace, ProgressLog
from smolship.progress import Silent
from smolship.quiet import quiet
from smolship.terminal import QUIET, TerminalProgress, copy_of_stderr, showing_progress


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_thread_ticks_during_one_long_call_and_is_gone_afterwards() -> None:
    stream = io.StringIO()
    with ProgressLog(stream, Pace(patience=0.002, tick=0.005)) as log, log.listener().task("one long call"):
        wait_for(lambda: stream.getvalue().count("so far") > 1)
    assert "progress log" not in [thread.name for thread in threading.enumerate()]
    assert "one long call: done in 0 s" in stream.getvalue()


@contextmanager
def stderr_on(descriptor: int) -> Iterator[None]:
    """A context manager and no fixture: pytest puts its own capture back between a fixture and its test."""
    saved = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def stderr_on_a_pipe() -> Iterator[FileIO]:
    """Gives the end to read by."""
    reading, writing = os.pipe()
    with FileIO(reading) as reader, stderr_on(writing):
        os.close(writing)
        yield reader


def test_lines_are_there_at_once_though_a_library_s_stderr_is_silenced() -> None:
    with stderr_on_a_pipe() as reader, copy_of_stderr() as stream, ProgressLog(stream, Pace(patience=0.001)) as log:
        with quiet(), log.listener().task("lower"):
            assert reader.read(100) == b"[  0:00] lower ...\n"
        assert reader.read(100) == b"[  0:00] lower: done in 0 s\n"


def test_a_reader_who_is_gone_stops_nothing() -> None:
    with stderr_on_a_pipe() as reader, copy_of_stderr() as stream:
        reader.close()
        with pytest.raises(BrokenPipeError):
            stream.write("nobody reads this")
        with ProgressLog(stream, Pace(patience=0.001)) as log, log.listener().task("work"):
            wait_for(lambda: log._stages[0].told is not None)
        assert not log._thread.is_alive()


def kinds() -> list[type[object]]:
    """Of the listeners that a command gets, for work here and on devices."""
    with showing_progress() as one:
        pass
    with showing_fleet(["pi"]) as fleet:
        return [type(each) for each in (one, fleet.here, fleet.of("pi"))]


@pytest.mark.parametrize("variable", [None, "FORCE_COLOR", "TTY_INTERACTIVE"])
def test_a_log_is_for_where_no_terminal_is(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    with stderr_on_a_pipe():
        assert kinds() == [LogProgress] * 3


@pytest.mark.parametrize(
    ("terminal", "expected"), [("xterm", [TerminalProgress, Line, Line]), ("dumb", [LogProgress] * 3)]
)
def test_bars_are_for_a_terminal_that_can_draw_them(
    terminal: str, expected: list[type[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", terminal)
    there, here = pty.openpty()
    with stderr_on(here):
        assert kinds() == expected
    os.close(here)
    os.close(there)


def test_quiet_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUIET, "1")
    with stderr_on_a_pipe():
        assert kinds() == [Silent] * 3
