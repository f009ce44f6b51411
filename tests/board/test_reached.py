"""`Ssh` to the emulated board: an arm64 shell under an emulator, as far from this machine's own as tests get."""

from pathlib import Path

from board.board import Board
from smolship.targets import Access, Ssh

FOLDER = "work here/$PWD"


def ssh_to(board: Board) -> Ssh:
    return Ssh("board", FOLDER, access=Access(config=board.ssh_config, known_hosts=board.known_hosts))


def test_files_go_there_are_worked_on_and_come_back(board: Board, tmp_path: Path) -> None:
    given, returned = tmp_path / "given.txt", tmp_path / "returned.txt"
    given.write_text("to the board\n")
    program = "import platform; open('out.txt', 'w').write(open('in.txt').read() + platform.machine())"
    with ssh_to(board) as ssh:
        ssh.put(given, "in.txt")
        end = ssh.run(["python3", "-c", program], on_line=print)
        ssh.get("out.txt", returned)
    assert (end.code, end.signal, end.errors) == (0, None, "")
    assert returned.read_text() == "to the board\naarch64"


def test_a_signal_is_named_there_too(board: Board) -> None:
    with ssh_to(board) as ssh:
        end = ssh.run(["python3", "-c", "import os; os.kill(os.getpid(), 4)"], on_line=print)
    assert (end.code, end.signal) == (None, "SIGILL")


def test_what_takes_too_long_is_ended_there_with_its_children(board: Board) -> None:
    with ssh_to(board) as ssh:
        end = ssh.run(["python3", "-c", "import os, time; os.fork(); time.sleep(900)"], on_line=print, timeout=3)
    assert end.timed_out
    assert board.run("pgrep -c python3").stdout.strip() == "0"
