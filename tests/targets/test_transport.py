"""`Local`: real processes, and nothing left of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smolship.errors import InputError
from smolship.targets import Local, transport


def _python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def _ignore(_line: str) -> None:
    """For output that does not matter."""


def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    program = "import time; print('one', flush=True); time.sleep(0.3); print('two é')"
    end = Local(tmp_path).run(_python(program), on_line=lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["one", "two é"]
    assert seen[1][1] - seen[0][1] > 0.2
    assert (end.code, end.signal, end.timed_out) == (0, None, False)


def test_the_end_of_standard_error_and_the_exit_code_are_kept(tmp_path: Path) -> None:
    program = "import sys; [print(i, file=sys.stderr) for i in range(1000)]; sys.exit(7)"
    end = Local(tmp_path).run(_python(program), on_line=_ignore)
    assert end.code == 7
    assert end.errors.endswith("\n998\n999")
    assert end.errors.count("\n") < 100


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGILL, signal.SIGSEGV])
def test_a_signal_is_named(tmp_path: Path, number: signal.Signals) -> None:
    end = Local(tmp_path).run(_python(f"import os; os.kill(os.getpid(), {number})"), on_line=_ignore)
    assert (end.code, end.signal) == (None, number.name)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    end = Local(tmp_path).run(_python(FAMILY), on_line=_ignore, timeout=1)
    assert end.timed_out
    assert time.monotonic() - start < 8
    _assert_gone(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_stops_the_call_ends_the_command_and_its_children(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.2)  # the family waits for the end of it, however long that is

    def stop(_line: str) -> None:
        raise error

    with pytest.raises(error):
        Local(tmp_path).run(_python(FAMILY), on_line=stop)
    _assert_gone(tmp_path)


def test_control_c_ends_the_command_and_its_children(tmp_path: Path) -> None:
    """A real SIGINT to a process that runs a command, as the terminal sends it."""
    program = (
        "import sys; from pathlib import Path; from smolship.targets import Local\n"
        "Local(Path('.')).run([sys.executable, '-c', sys.argv[1]], on_line=lambda line: print(line, flush=True))"
    )
    command = [sys.executable, "-c", program, FAMILY]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        caller.send_signal(signal.SIGINT)
        assert caller.wait(10) == -signal.SIGINT
    _assert_gone(tmp_path)


def test_a_command_that_is_not_there_is_exit_127(tmp_path: Path) -> None:
    end = Local(tmp_path).run(["no-such-command"], on_line=_ignore)
    assert end.code == 127
    assert "no-such-command" in end.errors


def test_a_place_that_takes_no_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot bring file to .*set TMPDIR"):
        Local(tmp_path).put(tmp_path / "file", "file/inside/it")


def test_put_makes_folders_and_get_takes_the_file_away(tmp_path: Path) -> None:
    here, there = tmp_path / "a b.txt", tmp_path / "there"
    here.write_text("x")
    transport = Local(there)
    transport.put(here, "sub/$(c) d.txt")
    assert (there / "sub" / "$(c) d.txt").read_text() == "x"
    transport.get("sub/$(c) d.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_text() == "x"
    assert not (there / "sub" / "$(c) d.txt").exists()
    assert here.read_text() == "x"


FAMILY = """
import os, subprocess, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
print("ready", flush=True)
time.sleep(60)
"""


def _assert_gone(folder: Path) -> None:
    for pid in map(int, (folder / "pids").read_text().split()):
        deadline = time.monotonic() + 5
        while _runs(pid):
            assert time.monotonic() < deadline, f"process {pid} is still there"
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
