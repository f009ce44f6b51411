"""The one error that says: this machine cannot emulate a board, and why; what the tests make of it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIRED = "SMOLSHIP_BOARD"
"""the variable that says `required` where a missing board is a failure"""


class Unavailable(Exception):
    """The board cannot be had on this machine; the message is the reason, and what to do."""


def run(command: Sequence[str | Path], given: bytes = b"") -> bytes:
    """Run a command of this machine on `given` and return what it prints; `Unavailable` if it is missing or fails."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not here, and the board is made with it: install it") from error
    if done.returncode:
        told = "; ".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:])
        raise Unavailable(f"{command[0]} ended with exit status {done.returncode}: {told or 'no reason given'}")
    return done.stdout


@contextmanager
def skipped_if_unavailable() -> Iterator[None]:
    """What takes a board is skipped with the reason where there can be none; `SMOLSHIP_BOARD=required` makes it fail."""
    try:
        yield
    except Unavailable as error:
        if os.environ.get(REQUIRED) == "required":
            raise
        pytest.skip(str(error))
