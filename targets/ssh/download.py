"""A file from a device: what arrived is what is there, and only then it is removed there."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from smolship.errors import InputError, LinkLost, RuntimeFailure
from smolship.targets.ssh.access import Access
from smolship.targets.ssh.answers import ask, count
from smolship.targets.ssh.event_loop import EventLoop
from smolship.targets.ssh.link import Link
from smolship.targets.ssh.scripts import REMOVE, SEND, transfer
from smolship.targets.ssh.session import Session
from smolship.targets.ssh.upload import PARTIAL


def download(
    loop: EventLoop, link: Link, access: Access, path: str, destination: Path, arrived: Callable[[float], None]
) -> None:
    """Bring the file `path` of the device to `destination`, which is whole or as it was, and remove it there.

    Raises:
        LinkLost: the link broke; the file is still there.
        InputError: it is not there, it changed on its way, or there is no room here.
    """
    partial = destination.with_name(destination.name + PARTIAL)
    try:
        with _written(destination, path), partial.open("wb") as file:
            _receive(loop, link, access, path, file, arrived)
        with _written(destination, path):
            partial.replace(destination)
    finally:
        partial.unlink(missing_ok=True)
    loop.call(ask(link, transfer(REMOVE, path=path), access.connect_timeout))


def _receive(
    loop: EventLoop, link: Link, access: Access, path: str, file: BinaryIO, arrived: Callable[[float], None]
) -> None:
    session = loop.call(Session.open(link, access.connect_timeout))
    try:
        loop.call(session.write(transfer(SEND, path=path)))
        size, digest = _header(loop.call(session.read_line()), path, session)
        left, found = size, hashlib.sha256()
        while left and (chunk := loop.call(session.read(min(left, 1 << 20)))):
            file.write(chunk)
            found.update(chunk)
            left -= len(chunk)
            arrived(len(chunk))
        if left and not link.is_open:
            raise LinkLost(f"link lost: the connection to {link.host} broke while {path} was on its way")
        if left or found.hexdigest() != digest:
            raise InputError(
                f"what arrived of {path} from {link.host} is not what is there: SHA-256 {found.hexdigest()} where "
                f"{digest} is wanted, {left} of {size} bytes missing. It changed meanwhile: "
                "see that nothing writes to it"
            )
    finally:
        loop.call(session.close())


def _header(line: str, path: str, session: Session) -> tuple[int, str]:
    """Size and digest that the device announces."""
    words = line.split()
    if words == ["missing"]:
        raise InputError(f"{path} is not on {session.link.host}, or is no file")
    if not words and not session.link.is_open:
        raise LinkLost(f"link lost: the connection to {session.link.host} broke")
    size = count(words[0]) if len(words) > 1 else None
    if size is None:
        raise RuntimeFailure(f"{session.link.host} cannot send {path}: it said {line[:200]!r} {session.errors[:400]}")
    return size, words[1]


@contextmanager
def _written(destination: Path, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot bring {path} to {destination} ({error.strerror or error}): free some room, "
            "or name a folder that can be written to"
        ) from error
