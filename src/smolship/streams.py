"""The standard streams as a shell has them: pipes that nobody reads any more, and characters that cannot be shown."""

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from smolship.errors import InputError

READER_GONE = 141
"""the exit code of a program that SIGPIPE ended, which a shell's `pipefail` knows: 128 + 13"""


class ReaderGone(BaseException):
    """Whoever read our output has gone, as `head -1` does.

    No `BrokenPipeError`: typer and rich end at that one with exit code 1, which here means that a budget is broken. And
    no SIGPIPE, which would also end the process when a probe's pipe or a device's connection breaks.
    """


class _Pipe(FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderGone from error


def guard_streams() -> None:
    """Make stdout and stderr raise `ReaderGone`, and escape what their encoding lacks.

    One that the shell closed (`>&-`) is nothing to write to or to read; one that is not the process's own stays.
    """
    for name, own, mode in (
        ("stdin", sys.__stdin__, "r"),
        ("stdout", sys.__stdout__, "w"),
        ("stderr", sys.__stderr__, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif own is not None and mode == "w" and getattr(sys, name) is own:
            setattr(sys, name, _guarded(own))


def _guarded(stream: TextIO) -> TextIO:
    stream.flush()
    through = BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
    lines = stream.isatty() or stream is sys.__stderr__
    return TextIOWrapper(through, stream.encoding, errors="backslashreplace", line_buffering=lines)


def let_go() -> None:
    """Drop what stdout and stderr cannot write, before Python tries again at its own end and complains."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ReaderGone, OSError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)


def require_text(text: str, what: str, encoding: str = sys.getfilesystemencoding()) -> None:
    """`InputError` if a shell or a disk gave bytes that are no `encoding`: no manifest and no tokenizer holds those."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        utf8 = encoding.lower().replace("-", "") == "utf8"
        way_out = (
            "write it in UTF-8, or rename the file that it names" if utf8 else "set LC_ALL=C.UTF-8, and write UTF-8"
        )
        raise InputError(f"{what} {text!r} is not {encoding} text: {way_out}") from error


def ask(prompt: str) -> str | None:
    """A line of stdin, `None` at its end; `InputError` if that is no text in stdin's encoding."""
    try:
        line = input(prompt)
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise InputError(
            f"stdin is not {error.encoding} text (byte {error.object[error.start]:#04x}): give UTF-8 text, "
            "and set PYTHONIOENCODING=utf-8 if the terminal's encoding is another"
        ) from error
    require_text(line, "the line", sys.stdin.encoding)
    return line
