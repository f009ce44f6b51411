"""A live sshd on loopback, and how tests reach it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from board import packages
from live_sshd import Keys, Programs, Sshd, find_programs, make_keys
from tcp_proxy import TcpProxy
from unavailable import skipped_if_unavailable

from smolship.progress import Progress, Silent
from smolship.targets import Access, Local, Ssh, Transport

Reach = Callable[..., Ssh]


@pytest.fixture(scope="session")
def programs() -> Programs:
    """OpenSSH's programs."""
    with skipped_if_unavailable():
        return find_programs()


@pytest.fixture(scope="session")
def busybox() -> Path:
    """A BusyBox with every program in it."""
    with skipped_if_unavailable():
        return next(packages.programs(["busybox-static"]).glob("**/bin/busybox"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of hosts and of users."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def sshd(programs: Programs, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests that change nothing about it."""
    server = Sshd(programs, keys, tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def start_sshd(programs: Programs, keys: Keys, tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Starts further servers, which end with the test."""
    servers: list[Sshd] = []

    def start(*, more: str = "", environment: str = "") -> Sshd:
        servers.append(Sshd(programs, keys, tmp_path, more=more, environment=environment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[TcpProxy]:
    """A proxy in front of the server."""
    with TcpProxy(sshd.port) as between:
        yield between


@pytest.fixture
def give_access(keys: Keys, tmp_path: Path) -> Callable[..., Access]:
    """Makes what a connection is opened with: the right key, trusting the host key `trusted` at these ports."""

    def give(*ports: int, trusted: Path | None = None, config: str | None = None, keepalive: float = 15) -> Access:
        key = Path(f"{trusted or keys.host}.pub").read_text()
        known_hosts, client = tmp_path / "known_hosts", tmp_path / "ssh_config"
        known_hosts.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for port in ports))
        client.write_text(f"IdentityFile {keys.user}\nIdentityAgent none\n" if config is None else config)
        return Access(client, known_hosts, keepalive=keepalive, connect_timeout=10, pauses=(0.05, 0.2, 0.5))

    return give


@pytest.fixture
def reach(sshd: Sshd, give_access: Callable[..., Access]) -> Reach:
    """Makes the transport to a folder, straight to the server or by another port."""

    def to(folder: Path, *, port: int = sshd.port, keepalive: float = 15, progress: Progress = Silent()) -> Ssh:
        return Ssh(f"127.0.0.1:{port}", str(folder), access=give_access(port, keepalive=keepalive), progress=progress)

    return to


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.device)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    """The test's folder by every transport there is."""
    if request.param == "local":
        yield Local(tmp_path)
    else:
        with request.getfixturevalue("reach")(tmp_path) as ssh:
            yield ssh
