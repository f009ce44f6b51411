"""Every transport: real processes, and nothing left of them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from families import FAMILY, assert_gone, ignore, python

from smolship.errors import InputError
from smolship.targets import Ssh, Transport, transport
from smolship.targets.lines import LINE_LIMIT, Lines

ODD = 'it\'s a "b" $(touch pwned) `touch pwned`; é\n*.txt'


def test_lines_come_as_they_are_written(place: Transport) -> None:
    seen: list[tuple[str, float]] = []
    program = "import time; print('one', flush=True); time.sleep(0.3); print('two é')"
    end = place.run(python(program), on_line=lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["one", "two é"]
    assert seen[1][1] - seen[0][1] > 0.2
    assert (end.code, end.signal, end.timed_out) == (0, None, False)


def test_the_end_of_standard_error_and_the_exit_code_are_kept(place: Transport) -> None:
    program = "import sys; [print(i, file=sys.stderr) for i in range(1000)]; sys.exit(7)"
    end = place.run(python(program), on_line=ignore)
    assert end.code == 7
    assert end.errors.endswith("\n998\n999")
    assert end.errors.count("\n") < 100


def test_standard_error_cannot_steer_a_terminal(place: Transport) -> None:
    end = place.run(["printf", r"\033[2Jred\n"], on_line=ignore)
    assert end.errors == ""
    end = place.run(["sh", "-c", r"printf '\033[2Jred\007\n' >&2"], on_line=ignore)
    assert end.errors == "�[2Jred�"


def test_the_arguments_arrive_as_they_are(place: Transport, tmp_path: Path) -> None:
    arguments = [ODD, "", "-n", "\\", "a\\\\'b", "%s", "~", "\t"]
    lines: list[str] = []
    place.run([*python("import json, sys; print(json.dumps(sys.argv[1:]))"), *arguments], on_line=lines.append)
    assert json.loads(lines[0]) == arguments
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGILL, signal.SIGSEGV])
def test_a_signal_is_named(place: Transport, number: signal.Signals) -> None:
    end = place.run(python(f"import os; os.kill(os.getpid(), {number})"), on_line=ignore)
    assert (end.code, end.signal) == (None, number.name)


def test_a_shell_that_reports_its_childs_signal_has_ended_by_itself(place: Transport) -> None:
    end = place.run(["sh", "-c", "sh -c 'kill -s KILL $$'; exit $?"], on_line=ignore)
    assert (end.code, end.signal) == (128 + signal.SIGKILL, None)


def test_standard_input_stays_open_and_empty(place: Transport) -> None:
    lines: list[str] = []
    place.run(python("import select; print(select.select([0], [], [], 0.5)[0])"), on_line=lines.append)
    assert lines == ["[]"]


def test_a_command_that_takes_too_long_is_ended_with_its_children(place: Transport, tmp_path: Path) -> None:
    start = time.monotonic()
    end = place.run(python(FAMILY), on_line=ignore, timeout=1)
    assert end.timed_out
    assert time.monotonic() - start < 8
    assert_gone(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, TimeoutError])
def test_whatever_stops_the_call_ends_the_command_and_its_children(
    place: Transport, tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.2)  # the family waits for the end of it, however long that is

    def stop(_line: str) -> None:
        raise error

    with pytest.raises(error):
        place.run(python(FAMILY), on_line=stop)
    assert_gone(tmp_path)


def test_a_command_may_close_its_output_and_go_on(place: Transport, tmp_path: Path) -> None:
    program = "import os, time; os.close(1); time.sleep(0.4); open('done', 'w').close(); os._exit(3)"
    assert place.run(python(program), on_line=ignore).code == 3
    assert (tmp_path / "done").exists()


def test_what_a_command_leaves_behind_ends_with_it(place: Transport, tmp_path: Path) -> None:
    end = place.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $! >pids"], on_line=ignore)
    assert end.code == 0
    assert_gone(tmp_path)


def test_control_c_ends_the_command_and_its_children(place: Transport, tmp_path: Path) -> None:
    """A real SIGINT to a process that runs a command, as the terminal sends it."""
    made = "contextlib.nullcontext(Local(Path('.')))"
    if isinstance(place, Ssh):
        access = f"Access(Path({str(place.access.config)!r}), Path({str(place.access.known_hosts)!r}))"
        made = f"Ssh({str(place.destination)!r}, {str(tmp_path)!r}, access={access})"
    program = (
        "import contextlib, signal, sys; from pathlib import Path; from smolship.targets import Access, Local, Ssh\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job is born deaf to it
        f"with {made} as place:\n"
        "    place.run([sys.executable, '-c', sys.argv[1]], on_line=lambda line: print(line, flush=True))"
    )
    command = [sys.executable, "-c", program, FAMILY]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        caller.send_signal(signal.SIGINT)
        assert caller.wait(10) == -signal.SIGINT
    assert_gone(tmp_path)


def test_a_command_that_is_not_there_is_exit_127(place: Transport) -> None:
    end = place.run(["no-such-command"], on_line=ignore)
    assert end.code == 127
    assert "no-such-command" in end.errors


def test_a_place_that_takes_no_file_is_an_input_error(place: Transport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot bring file to .*: free some room"):
        place.put(tmp_path / "file", "file/inside/it")


@pytest.mark.parametrize("name", [ODD, "-rf", "sub/$(c) d.txt"], ids=["odd", "option", "folder"])
def test_put_makes_folders_and_get_takes_the_file_away(place: Transport, tmp_path: Path, name: str) -> None:
    here = tmp_path / "a b.sh"
    here.write_text("x")
    here.chmod(0o755)
    place.put(here, f"there/{name}")
    there = tmp_path / "there" / name
    assert (there.read_text(), there.stat().st_mode & 0o777) == ("x", 0o755)
    place.get(f"there/{name}", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_text() == "x"
    assert not there.exists()
    assert here.read_text() == "x"
    assert not (tmp_path / "pwned").exists()


def test_an_empty_file_is_a_file(place: Transport, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    place.put(tmp_path / "empty", "there/empty")
    place.get("there/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_file_that_is_not_there_is_an_input_error(place: Transport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        place.get("nothing", tmp_path / "back.txt")
    assert not list(tmp_path.glob("back*"))


def test_a_stream_is_cut_into_lines_of_bounded_length() -> None:
    lines: list[str] = []
    stream = Lines(lines.append, limit=4)
    for chunk in (b"ab\r\nc", b"defghij", b"\n\n\xff", b"\xc3", b"\xa9"):
        stream.feed(chunk)
    stream.close()
    assert lines == ["ab", "cdef", "ghij", "", "", "�é"]
    assert LINE_LIMIT > 1 << 20
