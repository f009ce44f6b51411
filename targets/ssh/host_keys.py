"""Whose host keys are trusted, and what is said of one that is not. Nothing here turns the check off."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from smolship.errors import InputError
from smolship.targets.ssh.access import Access, Destination

if TYPE_CHECKING:
    import asyncssh

SYSTEM_WIDE = Path("/etc/ssh/ssh_known_hosts")


@dataclass
class KnownHosts:
    """The files that say which keys are trusted, and the key that a host showed and that none of them names."""

    wanted: list[str] = field(default_factory=list)
    """all files, those that are not there as well"""
    shown: str = ""
    """type and fingerprint of the key that was shown"""
    entry: str = ""
    """what the files call the host"""
    expected: list[str] = field(default_factory=list)
    """types and fingerprints that the files have for that host"""
    _keys: "asyncssh.SSHKnownHosts | None" = None

    def read(self, options: "asyncssh.SSHClientConnectionOptions", access: Access) -> "asyncssh.SSHKnownHosts":
        """The keys in the files that `access` names, or the configuration, or OpenSSH itself.

        A configuration that names no file (`UserKnownHostsFile none`) trusts nobody: asyncssh would trust everybody.
        `ValueError` for a file that is none of known hosts.
        """
        import asyncssh

        if access.known_hosts is not None:
            self.wanted = [str(access.known_hosts)]
        elif options.known_hosts is None:
            self.wanted = []
        else:
            named = [str(Path(str(name)).expanduser()) for name in list(options.known_hosts)]  # type: ignore[arg-type]
            self.wanted = named or [str(Path("~/.ssh/known_hosts").expanduser()), str(SYSTEM_WIDE)]
        self._keys = asyncssh.read_known_hosts([name for name in self.wanted if Path(name).is_file()])
        return self._keys

    def remember(self, host: str, address: str, port: int, key: "asyncssh.SSHKey") -> None:
        """Keep what a refusal is to say of a key that no file names for this host."""
        import asyncssh

        trusted = asyncssh.match_known_hosts(self._keys, host, address, None if port == 22 else port)[0]
        self.entry = host if port == 22 else f"[{host}]:{port}"
        self.shown = _described(key)
        self.expected = [_described(each) for each in trusted]

    def refusal(self, destination: Destination, reason: str) -> InputError:
        """Why the host's key is refused, and the two ways out."""
        files = " and ".join(self.wanted) or "the empty list of known hosts (UserKnownHostsFile none)"
        by_hand = f"`{destination.command}` once by hand"
        if not self.shown:
            return InputError(f"the host key of {destination} is refused ({reason}): look at what {files} says of it")
        if not self.expected:
            return InputError(
                f"{destination} shows a host key that is not known here: {self.shown}; {files} has none for "
                f"{self.entry}. "
                f"Either run {by_hand}, compare that fingerprint with the device's own and accept it, "
                "or add the device's public host key to that file"
            )
        return InputError(
            f"the host key of {destination} has changed: it shows {self.shown}, "
            f"{files} has {', '.join(self.expected)} for {self.entry}. "
            f"If the device was installed anew, run `ssh-keygen -R {shlex.quote(self.entry)}` and then {by_hand} to "
            "look at the new key and accept it; if it was not, somebody else may be answering: find out who, "
            "or correct the line in that file"
        )


def recorder(known: KnownHosts) -> "type[asyncssh.SSHClient]":
    """The client of a connection that remembers an untrusted key in `known`, and never trusts it."""
    import asyncssh

    class Recorder(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            known.remember(host, addr, port, key)
            return False

        def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            known.remember(host, addr, port, key)
            return False

    return Recorder


def _described(key: "asyncssh.SSHKey") -> str:
    return f"{key.get_algorithm()} {key.get_fingerprint()}"
