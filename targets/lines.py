"""What a command prints, as lines: bounded in length, whatever it is that prints."""

import re
from collections.abc import Callable

OnLine = Callable[[str], None]
LINE_LIMIT = 4 << 20
"""bytes of one line of output; a longer one is cut there and goes on as the next"""
ERROR_LINES = 40
"""how many last lines of standard error are kept"""
ERROR_LINE_LIMIT = 4096
"""bytes of one line of standard error"""
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class Lines:
    """Cuts a stream of bytes into lines and gives each to `on_line`, decoded, without its end."""

    def __init__(self, on_line: OnLine, limit: int = LINE_LIMIT) -> None:
        self._on_line, self._limit = on_line, limit
        self._held = bytearray()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the stream."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._hold(piece)
            self._give()
        self._hold(rest)

    def close(self) -> None:
        """The stream is at its end: what has no end of line is a line too."""
        if self._held:
            self._give()

    def _hold(self, piece: bytes) -> None:
        while len(self._held) + len(piece) >= self._limit:
            room = self._limit - len(self._held)
            self._held += piece[:room]
            piece = piece[room:]
            self._give()
        self._held += piece

    def _give(self) -> None:
        line = self._held.decode("utf-8", "replace").rstrip("\r\n")
        self._held.clear()
        self._on_line(line)


def printable(line: str) -> str:
    """The line without what would steer a terminal: control characters, escape codes with them, show as `�`."""
    return CONTROL.sub("�", line)
