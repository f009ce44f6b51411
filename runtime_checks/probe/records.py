"""The protocol's writing end: records are JSON objects, one a line, on the process's real standard output."""

import json
import os
from typing import Any, TextIO

PROTOCOL = 1
"""raised when a record or a job changes its meaning; a reader refuses other numbers"""


class Records:
    """Prints records on the stdout the process was started with; everything else that prints goes to stderr.

    Runtimes print from C++ as they like: file descriptor 1 is pointed at stderr; only the saved one carries records.
    """

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def emit(self, record: str, **fields: Any) -> None:
        """Write one record of the named kind; the fields must be plain JSON values."""
        line = json.dumps({"protocol": PROTOCOL, "record": record, **fields}, ensure_ascii=True, allow_nan=False)
        self._out.write(line + "\n")
        self._out.flush()

    def progress(self, step: str, done: int, of: int) -> None:
        """Say how far a step has come, in the step's own units."""
        self.emit("progress", step=step, done=done, of=of)
