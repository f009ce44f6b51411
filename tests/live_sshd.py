"""A real OpenSSH server on a loopback port, with keys of its own; nothing of it is left when it is stopped."""

import os
import pwd
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from board import packages
from ports import free_port
from unavailable import Unavailable

PACKAGES = ("openssh-server", "openssh-client", "libwrap0")
"""Debian packages with the server, the agent, and what the server is linked to that a machine without it may lack"""
PRIVILEGE_SEPARATION = Path("/run/sshd")
USER = pwd.getpwuid(os.getuid()).pw_name


@dataclass(frozen=True)
class Programs:
    """Where OpenSSH's programs are, and with what environment they run."""

    sshd: Path
    agent: Path
    session: Path | None
    """the part of newer servers that a login runs in, if it is not where they were built to find it"""
    environment: Mapping[str, str]


def find_programs() -> Programs:
    """OpenSSH of this machine, or of Debian's packages; `Unavailable` without either."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    sshd, agent = shutil.which("sshd", path=path), shutil.which("ssh-agent", path=path)
    if sshd and agent:
        return Programs(Path(sshd), Path(agent), None, dict(os.environ))
    root = packages.programs(PACKAGES)
    libraries = [*map(str, root.glob("usr/lib/*-linux-gnu*")), *map(str, root.glob("lib/*-linux-gnu*"))]
    session = root / "usr" / "lib" / "openssh" / "sshd-session"
    return Programs(
        root / "usr" / "sbin" / "sshd",
        Path(agent) if agent else root / "usr" / "bin" / "ssh-agent",
        session if session.is_file() else None,
        os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)},
    )


@dataclass(frozen=True)
class Keys:
    """What a server and a user have: files made once for many servers."""

    host: Path
    other_host: Path
    user: Path
    stranger: Path
    authority: Path
    certified: Path
    """a key that is not authorised itself; `authority` signed its certificate"""


def make_keys(folder: Path) -> Keys:
    """Write the keys into a folder."""
    keys = Keys(*(folder / name for name in ("host", "other_host", "user", "stranger", "authority", "certified")))
    for path in (keys.host, keys.other_host, keys.user, keys.stranger, keys.authority, keys.certified):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(path)
        path.chmod(0o600)
        key.write_public_key(path.with_name(path.name + ".pub"))
    authority = asyncssh.read_private_key(keys.authority)
    signed = asyncssh.read_public_key(f"{keys.certified}.pub")
    certificate = authority.generate_user_certificate(signed, "test", principals=[USER])
    certificate.write_certificate(folder / "certified-cert.pub")
    return keys


class Sshd:
    """A running server for the user that runs the tests, whose start-up files it does not read.

    `environment` is set for commands, `NAME=value ...`; `more` is further lines of configuration.
    """

    def __init__(self, programs: Programs, keys: Keys, folder: Path, *, more: str = "", environment: str = "") -> None:
        self.port = free_port()
        self._log = folder / f"sshd-{self.port}.log"
        _prepare_privilege_separation()
        authorized, home = folder / "authorized_keys", folder / "home"
        home.mkdir(exist_ok=True)
        shutil.copy(f"{keys.user}.pub", authorized)
        config = folder / f"sshd_config-{self.port}"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {keys.host}\nAuthorizedKeysFile {authorized}\n"
            f"TrustedUserCAKeys {keys.authority}.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            "MaxStartups 100\nUseDNS no\nPrintMotd no\n"
            + (f"SshdSessionPath {programs.session}\n" if programs.session else "")
            + f"SetEnv HOME={home} {environment}\n{more}"
        )
        command = [str(programs.sshd), "-D", "-e", "-f", str(config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=programs.environment, stdout=log, stderr=log)
        self._wait_until_it_listens()

    def limit_files(self, size: int) -> None:
        """No session that begins from now on writes more than `size` bytes into one file."""
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, size))

    def stop(self) -> None:
        """End it; its sessions end by their closed connections."""
        self._process.terminate()
        self._process.wait(10)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f"sshd did not start: {self._log.read_text()[-500:]}") from error
                time.sleep(0.02)


def _prepare_privilege_separation() -> None:
    """What Debian's package sets up for a server of root's, and leaves there: its user, and an empty folder."""
    if os.getuid() != 0:
        return
    try:
        pwd.getpwnam("sshd")
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--home-dir", "/run/sshd", "sshd"]
        subprocess.run(command, check=True)
    PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
