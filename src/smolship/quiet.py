"""Keep other libraries' noise from the user: importing torchao or exporting with torch prints pages to both streams."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

VERBOSE = "SMOLSHIP_VERBOSE"
"""The environment variable that `--verbose` sets to 1: everything is then shown."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence stdout, stderr (at file-descriptor level, so C++ too), warnings and log records inside the block.

    Errors still travel as exceptions. Does nothing when `SMOLSHIP_VERBOSE` is 1. What was written is dropped.
    """
    if os.environ.get(VERBOSE) == "1":
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    disabled = logging.root.manager.disable
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        logging.disable(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, sink):
            os.close(descriptor)
        logging.disable(disabled)
