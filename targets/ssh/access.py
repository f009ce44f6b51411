"""How a device is reached over SSH: whose files say who it is and who we are, and how long to wait."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from smolship.errors import InputError

DESTINATION = re.compile(r"(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^@:\[\]]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Access:
    """What a connection is opened with. There is no way to leave out the check of the host's key."""

    config: Path | None = None
    """the client's configuration; by default `~/.ssh/config`, if it is there"""
    known_hosts: Path | None = None
    """the keys of hosts; by default those files that the configuration names, or OpenSSH's own"""
    agent: str | None = None
    """the socket of the agent; by default the configuration's, or `SSH_AUTH_SOCK`"""
    connect_timeout: float = 60.0
    """seconds until a connection must be there, login included, and until a command must have begun"""
    keepalive: float = 15.0
    """seconds of silence after which the other side is asked for a sign of life, in both directions"""
    pauses: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """seconds before each attempt to connect again and go on with a transfer whose link was lost"""

    def __post_init__(self) -> None:
        if self.keepalive <= 0 or self.connect_timeout <= 0:
            raise InputError("the keepalive and the timeout of a connection are seconds above 0")


@dataclass(frozen=True)
class Destination:
    """A device as it was named: what is `None` is left to the configuration."""

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def arguments(self) -> str:
        """What OpenSSH's own programs are given to reach it, quoted for a shell."""
        port = ["-p", str(self.port)] if self.port else []
        return shlex.join([*port, f"{self.user}@{self.host}" if self.user else self.host])

    @property
    def command(self) -> str:
        """The command that a person types to reach it."""
        return f"ssh {self.arguments}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def parse_destination(text: str) -> Destination:
    """The parts of `[user@]host[:port]`; an IPv6 address stands in brackets.

    Raises:
        InputError: it is not of that form, or the host could be taken for an option of a command.
    """
    bare = text.removeprefix("ssh://").removesuffix("/") if text.startswith("ssh://") else text
    match = DESTINATION.fullmatch(bare)
    host = match and (match["bracketed"] or match["host"])
    if not match or not host or host.startswith("-") or not host.isprintable():
        raise InputError(
            f"{text!r} names no device: wanted is [user@]host[:port], for example pi@raspberrypi.local, "
            "or a Host of ~/.ssh/config"
        )
    return Destination(host, match["user"], int(match["port"]) if match["port"] else None)
