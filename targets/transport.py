"""How a device is reached: run a command, put a file, get a file. `Local` is this machine;
`smolship.targets.ssh` is a device.
"""

import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, Timer
from time import monotonic
from typing import IO, Protocol

from smolship.errors import InputError
from smolship.targets.lines import ERROR_LINE_LIMIT, ERROR_LINES, LINE_LIMIT, OnLine, printable

NOT_FOUND = 127
"""the exit status of a command that is not there, as shells have it"""
GRACE = 2.0
"""seconds between asking a process group to end and ending it"""


@dataclass(frozen=True)
class Exit:
    """How a command ended."""

    code: int | None
    """the exit status; `None` if a signal ended it, or if the link was lost before anybody knew"""
    signal: str | None
    """the name of the signal that ended it, such as `SIGKILL`"""
    timed_out: bool
    seconds: float
    errors: str
    """the last lines of its standard error"""


class Transport(Protocol):
    """A folder on some machine, and the three things that can be done there. Paths are relative to that folder."""

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """Run a command in the folder; each line of its standard output goes to `on_line` as it comes.

        Its standard input stays open until it ends. Whatever stops this call also ends the command and all it started.
        """
        ...

    def put(self, source: Path, destination: str) -> None:
        """Bring a file of this machine there; folders are made as needed."""
        ...

    def get(self, source: str, destination: Path) -> None:
        """Bring a file from there to this machine, out of that folder: it is not left there."""
        ...


class Local:
    """This machine: a folder here. Files are hard-linked where they can be, for a model need not be there twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """See `Transport.run`; the command leads a process group of its own, which ends with this call."""
        start = monotonic()
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                list(command), cwd=self.folder, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:  # as a shell on another machine would say it
            return Exit(NOT_FOUND, None, False, monotonic() - start, str(error))
        errors: deque[str] = deque(maxlen=ERROR_LINES)
        expired: list[bool] = []
        timer = Timer(timeout, _expire, (process, expired)) if timeout else None
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - pipes were asked for

        def keep(line: str) -> None:
            errors.append(printable(line))

        reader = Thread(target=_read_lines, args=(process.stderr, keep, ERROR_LINE_LIMIT), daemon=True)
        try:
            reader.start()
            if timer:
                timer.start()
            _read_lines(process.stdout, on_line)
            code = process.wait()
        finally:
            if timer:
                timer.cancel()
            _end_group(process)
            reader.join(GRACE)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        name = signal.Signals(-code).name if code < 0 else None
        return Exit(None if code < 0 else code, name, bool(expired), monotonic() - start, "\n".join(errors))

    def put(self, source: Path, destination: str) -> None:
        """See `Transport.put`."""
        target = self.folder / destination
        with _explained(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source.resolve(), target)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(source, target)

    def get(self, source: str, destination: Path) -> None:
        """See `Transport.get`."""
        with _explained(self.folder / source, destination):
            shutil.move(self.folder / source, destination)


@contextmanager
def _explained(source: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot bring {source.name} to {target.parent} ({error.strerror or error}): "
            "free some room, or set TMPDIR to a folder on a larger disk"
        ) from error


def _read_lines(stream: IO[bytes], on_line: OnLine, limit: int = LINE_LIMIT) -> None:
    while line := stream.readline(limit):
        on_line(line.decode("utf-8", "replace").rstrip("\r\n"))


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # the whole group is gone (or its leader is a zombie on some systems)
        return


def _expire(process: subprocess.Popen[bytes], expired: list[bool]) -> None:
    expired.append(True)
    _signal_group(process, signal.SIGKILL)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """No process of the group is left when this returns: asked first, then killed, the leader reaped."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    _signal_group(process, signal.SIGKILL)
    process.wait()
