"""The end of a board: no process, mount or registration of it outlives it, whoever ends it."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

from board.board import Board, open_board
from board.tree import Tree

TESTS = Path(__file__).resolve().parents[1]


def processes_of(folder: Path) -> set[int]:
    """Processes of the board whose files are in `folder`: those that were given it, and all in their namespaces."""
    given = {pid for pid in processes() if str(folder).encode() in read(f"/proc/{pid}/cmdline").split(b"\0")}
    spaces = {namespace(pid) for pid in given} - {namespace(os.getpid()), ""}
    return given | {pid for pid in processes() if namespace(pid) in spaces}


def living(pids: set[int]) -> set[int]:
    """Those that still run something; one that has ended and was not asked how is none of them."""
    return {pid for pid in pids if read(f"/proc/{pid}/cmdline")}


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:  # it has ended
        return ""


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def handlers() -> list[str]:
    """What this machine itself has registered as interpreters of programs."""
    return sorted(path.name for path in Path("/proc/sys/fs/binfmt_misc").glob("*"))


def test_an_orphan_on_the_board_is_collected(board: Board) -> None:
    board.told("(setsid sleep 0.1 < /dev/null > /dev/null 2>&1 &) ; sleep 0.5")
    assert "Z" not in board.told("ps -e -o stat=")


def test_nothing_of_a_board_is_left_when_it_is_closed(tree: Tree, tmp_path: Path) -> None:
    before = (read("/proc/self/mountinfo"), handlers())
    folder = tmp_path / "board"
    with open_board(tree, folder) as board:
        board.told("setsid sleep 1000 < /dev/null > /dev/null 2>&1 & true")
        assert board.told("pgrep -c sleep") == "1"
        running = processes_of(folder)
        assert len(running) > 3
    assert processes_of(folder) | living(running) == set()
    assert (read("/proc/self/mountinfo"), handlers()) == before


def test_a_board_ends_with_the_process_that_opened_it(tree: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "board"
    program = f"""
import sys, time
from pathlib import Path
from board.board import open_board
from board.tree import Tree
with open_board(Tree(Path({str(tree.root)!r}), Path({str(tree.emulator)!r})), Path({str(folder)!r})):
    print("open", flush=True)
    time.sleep(1000)
"""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as opener:
        assert opener.stdout is not None
        assert opener.stdout.readline() == b"open\n"
        running = processes_of(folder)
        assert len(running) > 3
        opener.kill()
    deadline = monotonic() + 10
    while living(running) and monotonic() < deadline:
        sleep(0.05)
    assert processes_of(folder) | living(running) == set()
