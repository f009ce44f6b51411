"""The emulated machine: it has the memory and the processor asked for, and its kernel kills what takes more."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest
from unavailable import skipped_if_unavailable

from board.board import Board
from board.machine import open_machine
from board.processors import PI_4, PI_5, Processor
from board.tree import Tree
from smolship.targets import Access, Ssh

pytestmark = pytest.mark.machine

KERNEL_SHARE = 64
"""of a machine's memory, the MB that its kernel keeps to itself at most"""
HOG = """
taken = []
while True:
    taken.append(b"x" * (16 << 20))
    print(16 * len(taken), flush=True)
"""
"""takes ever more memory, and says how many MB it has"""


TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Machine:
    """A running machine, and what was asked for."""

    board: Board
    memory: int
    processor: Processor

    def ssh(self) -> Ssh:
        access = Access(config=self.board.ssh_config, known_hosts=self.board.known_hosts)
        return Ssh("board", "work", access=access)


@pytest.fixture(scope="module", params=[(512, PI_5), (1024, PI_4)], ids=["512-pi-5", "1024-pi-4"])
def machine(request: pytest.FixtureRequest, tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Machines of two sizes, with and without the dot product."""
    memory, processor = request.param
    folder = tmp_path_factory.mktemp("machine")
    with ExitStack() as stack:
        with skipped_if_unavailable():
            board = stack.enter_context(open_machine(tree, folder, memory=f"{memory}M", processor=processor))
        yield Machine(board, memory, processor)


def emulators_of(folder: Path) -> list[str]:
    """The running processes that were given this folder's disk."""
    done = subprocess.run(["pgrep", "-f", f"file={folder}/boot"], capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_it_has_the_memory_and_the_processor_asked_for(machine: Machine) -> None:
    assert machine.board.told("uname -nm; id -un").splitlines() == ["board aarch64", "pi"]
    total = int(machine.board.told("grep ^MemTotal: /proc/meminfo").split()[1]) // 1024
    assert machine.memory - KERNEL_SHARE < total < machine.memory
    # the kernel alone has `evtstrm`: an event stream of its timer, not a feature of the processor
    listed = machine.board.told("grep -m 1 ^Features /proc/cpuinfo").split()[2:]
    assert [name for name in listed if name != "evtstrm"] == list(machine.processor.features)
    assert ("asimddp" in listed) == (machine.processor == PI_5)


def test_what_takes_more_memory_than_there_is_is_killed_by_the_kernel(machine: Machine, tmp_path: Path) -> None:
    program = tmp_path / "hog.py"
    program.write_text(HOG)
    told: list[str] = []
    with machine.ssh() as ssh:
        ssh.put(program, "hog.py")
        end = ssh.run(["python3", "hog.py"], on_line=told.append)
        assert (end.code, end.signal, end.timed_out) == (None, "SIGKILL", False)
        assert machine.memory / 2 < int(told[-1]) < machine.memory
        assert ssh.run(["true"], on_line=print).code == 0
    assert "Out of memory: Killed process" in machine.board.log.read_text(errors="replace")


def test_files_go_there_and_there_is_room_for_them(machine: Machine, tmp_path: Path) -> None:
    given, returned = tmp_path / "given", tmp_path / "returned"
    given.write_bytes(os.urandom(1 << 20))
    with machine.ssh() as ssh:
        ssh.put(given, "a folder/file")
        ssh.get("a folder/file", returned)
    assert returned.read_bytes() == given.read_bytes()
    assert int(machine.board.told("df --output=avail --block-size=1M .").split()[1]) > 1500


def test_nothing_leads_out_of_it(machine: Machine) -> None:
    program = f"import socket; socket.create_connection(('10.0.2.2', {machine.board.port}), timeout=3)"
    assert machine.board.run(f'python3 -c "{program}"').returncode == 1


def test_a_machine_that_does_not_start_is_an_error_with_the_reason(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="invalid-size"), open_machine(tree, tmp_path / "m", memory="invalid-size"):
        pass


def test_a_machine_ends_with_the_process_that_opened_it(tree: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "machine"
    program = f"""
import sys, time
from pathlib import Path
from board.machine import open_machine
from board.tree import Tree
with open_machine(Tree(Path({str(tree.root)!r}), Path({str(tree.emulator)!r})), Path({str(folder)!r}), memory="512M"):
    print("open", flush=True)
    time.sleep(1000)
"""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as opener:
        assert opener.stdout is not None
        assert opener.stdout.readline() == b"open\n"
        assert len(emulators_of(folder)) == 1
        opener.kill()
    deadline = monotonic() + 10
    while emulators_of(folder) and monotonic() < deadline:
        sleep(0.05)
    assert emulators_of(folder) == []
