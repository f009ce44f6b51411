"""The one error that says: this machine lacks what a test takes, and why; what the tests make of it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

NO_SKIP = "SMOLSHIP_NO_SKIP"
"""the variable that, set to anything, makes a failure of what would be skipped"""


class Unavailable(Exception):
    """Something outside of the project cannot be had on this machine; the message is the reason, and what to do."""


def run(command: Sequence[str | Path], given: bytes = b"", folder: Path | None = None) -> bytes:
    """Run a command of this machine on `given` and return what it prints; `Unavailable` if it is missing or fails."""
    try:
        done = subprocess.run(command, input=given, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not here, and the tests of devices take it: install it") from error
    if done.returncode:
        told = "; ".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:])
        raise Unavailable(f"{command[0]} ended with exit status {done.returncode}: {told or 'no reason given'}")
    return done.stdout


@contextmanager
def skipped_if_unavailable() -> Iterator[None]:
    """Where something cannot be had its tests are skipped with the reason, or fail if `SMOLSHIP_NO_SKIP` is set."""
    try:
        yield
    except Unavailable as error:
        if os.environ.get(NO_SKIP):
            raise
        pytest.skip(str(error))
