"""A file to a device: what is there already is not sent again, and what arrived is what was sent."""

import hashlib
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smolship.errors import InputError
from smolship.targets.ssh.access import Access
from smolship.targets.ssh.answers import count
from smolship.targets.ssh.event_loop import EventLoop
from smolship.targets.ssh.link import Link
from smolship.targets.ssh.scripts import BLOCK, RECEIVE, transfer
from smolship.targets.ssh.session import Session

PIECE = 4 * BLOCK
"""bytes that are handed to the connection at once"""
PARTIAL = ".partial"
"""what follows a file's name until all of it is there"""


@dataclass(frozen=True)
class Source:
    """A file of this machine, as it was when it was looked at."""

    path: Path
    size: int
    digest: str
    mode: str
    """its permissions, in octal"""

    def begins_with(self, blocks: int, digest: str) -> bool:
        """Whether its first blocks have that SHA-256."""
        found = hashlib.sha256()
        for piece in self.pieces(0, blocks * BLOCK):
            found.update(piece)
        return blocks * BLOCK <= self.size and found.hexdigest() == digest

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Its bytes from `start` to `end`."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end and (piece := file.read(min(PIECE, end - start))):
                yield piece
                start += len(piece)


def look_at(path: Path) -> Source:
    """The file's size and SHA-256; `InputError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Source(path, file.tell(), digest, f"{path.stat().st_mode & 0o777:o}")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


class Upload:
    """One file on its way; `attempt` can be made again over another link and goes on where the last one stopped."""

    def __init__(self, source: Source, path: str, sent: Callable[[float], None]) -> None:
        self._source, self._path, self._sent = source, path, sent
        self._furthest = 0

    def attempt(self, loop: EventLoop, link: Link, access: Access) -> None:
        """Send what is not there yet.

        Raises:
            LinkLost: the link broke; what has arrived stays there.
            InputError: the device has no room, or does not hold what was sent; nothing of it stays there.
        """
        session = loop.call(Session.open(link, access.connect_timeout))
        try:
            loop.call(session.write(self._script()))
            answer = loop.call(session.read_line()) or loop.call(session.finish())
            blocks = self._blocks_there(answer, session)
            position = self._source.size if blocks is None else blocks * BLOCK
            self._advance(position)
            if blocks is None:
                return
            loop.call(session.write(f"{blocks}\n".encode()))
            for piece in self._source.pieces(position, self._source.size):
                if not loop.call(session.write(piece)):
                    break
                position += len(piece)
                self._advance(position)
            verdict = loop.call(session.finish())
            self._check(verdict.split(), link.host, session.errors)
        finally:
            loop.call(session.close())

    def _blocks_there(self, answer: str, session: Session) -> int | None:
        """How many blocks of it can stay; `None` if it is all there, in its place."""
        words = answer.split()
        if words == ["there"]:
            return None
        blocks = count(words[0]) if words else None
        if blocks is None:
            raise self._refused(session.link.host, session.errors or answer)
        return blocks if blocks and self._source.begins_with(blocks, words[-1]) else 0

    def _script(self) -> bytes:
        source = self._source
        return transfer(
            RECEIVE,
            path=self._path,
            parent=posixpath.dirname(self._path),
            partial=self._path + PARTIAL,
            size=source.size,
            digest=source.digest,
            mode=source.mode,
            block=BLOCK,
        )

    def _check(self, verdict: list[str], host: str, errors: str) -> None:
        if verdict == ["stored"]:
            return
        if verdict[:1] == ["other"] or verdict == ["short"]:
            found = verdict[1] if len(verdict) > 1 else "too few bytes"
            raise InputError(
                f"what arrived as {self._path} on {host} is not what was sent: SHA-256 {found} where "
                f"{self._source.digest} is wanted. Either {self._source.path} changed meanwhile, or the device's "
                "storage is failing: try again"
            )
        raise self._refused(host, errors)

    def _refused(self, host: str, errors: str) -> InputError:
        reason = "; ".join(line for line in errors.splitlines() if " records " not in line and " copied" not in line)
        return InputError(
            f"cannot bring {self._source.path.name} to {self._path} on {host}, {self._source.size / 1e6:.1f} MB "
            f"({reason or 'it did not say why'}): free some room there, or name a folder that can be written to"
        )

    def _advance(self, position: int) -> None:
        if position > self._furthest:
            self._sent(position - self._furthest)
            self._furthest = position
