"""Shell manners: pipes that nobody reads, consoles that are not UTF-8, input that is no text."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import run
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError

SMOLSHIP = [sys.executable, "-m", "smolship"]


def ended(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [*SMOLSHIP, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)


@pytest.mark.parametrize("arguments", [("inspect", "{}", "--tensors"), ("--help",), ("inspect", "{}", "--json")])
def test_a_reader_that_goes_is_no_broken_budget(tiny_artefact: Artefact, arguments: tuple[str, ...]) -> None:
    """The reading end is closed before anything is written: no race with how fast `head` ends."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [*SMOLSHIP, *(one.format(tiny_artefact.folder) for one in arguments)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode in (0, 141)
    assert done.stderr == b""


def test_a_shell_that_minds_pipes_takes_head(tiny_artefact: Artefact) -> None:
    script = f'set -o pipefail; {sys.executable} -m smolship inspect "$1" --tensors 2>&1 | head -1'
    done = subprocess.run(["bash", "-c", script, "-", str(tiny_artefact.folder)], capture_output=True, check=False)
    assert done.returncode in (0, 141)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_errors_that_nobody_reads_end_the_same_way(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*SMOLSHIP, "inspect", str(tmp_path)], stdout=subprocess.PIPE, stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stdout == b""


def test_a_disk_that_is_full_is_said() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*SMOLSHIP, "recipes", "--json"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr


def test_streams_may_be_closed(tiny_artefact: Artefact) -> None:
    script = f'{sys.executable} -m smolship inspect "$1" <&- >&-'
    done = subprocess.run(["bash", "-c", script, "-", str(tiny_artefact.folder)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_a_console_that_lacks_a_character_gets_another(
    tiny_artefact: Artefact, tmp_path: Path, environment: dict[str, str]
) -> None:
    odd = tmp_path / "mein Modell é 🚀 [v1]"
    shutil.copytree(tiny_artefact.folder, odd)
    done = ended("inspect", odd, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"mein Modell" in b" ".join(done.stdout.split())  # a long path wraps
    missing = ended("inspect", odd / "nothing", **environment)
    assert missing.returncode == 2
    assert missing.stderr.count(b"\n") == 1


def test_json_stays_json_on_such_a_console() -> None:
    expected = json.loads(ended("targets", "--json", PYTHONIOENCODING="utf-8").stdout)
    shown = ended("targets", "--json", PYTHONIOENCODING="ascii").stdout
    assert json.loads(shown.decode("ascii")) == expected


def test_an_argument_that_is_no_text_is_one_sentence() -> None:
    done = subprocess.run([*SMOLSHIP, "inspect", b"caf\xe9"], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"the argument 'caf\\udce9' is not utf-8 text" in done.stderr


def test_a_locale_that_reads_no_utf8_is_named() -> None:
    done = ended("inspect", "é", LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert b"text: set LC_ALL=C.UTF-8" in done.stderr


def test_nor_can_a_folder_be_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_checkpoint(tmp_path / "plain").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="is not utf-8 text: write it in UTF-8, or rename"):
        open_checkpoint(".")


@pytest.mark.parametrize(
    ("given", "encoding", "errors", "said"),
    [
        (b"h\xffi\n", "utf-8", "strict", "stdin is not utf-8 text (byte 0xff)"),
        (b"h\xc3\xa9\n", "ascii", "strict", "stdin is not ascii text (byte 0xc3)"),
        (b"h\xffi\n", "utf-8", "surrogateescape", "is not utf-8 text: write it in UTF-8"),
    ],
)
def test_what_is_asked_on_stdin_has_to_be_text(
    tiny_artefact: Artefact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    given: bytes, encoding: str, errors: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding, errors))
    assert run(monkeypatch, "chat", tiny_artefact.folder) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_stdin_is_asked_line_by_line_and_an_empty_prompt_is_none_of_it(
    tiny_artefact: Artefact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = io.TextIOWrapper(io.BytesIO(b"hello\n/new\nhello\n\nnever asked\n"), "utf-8")
    monkeypatch.setattr(sys, "stdin", lines)
    assert run(monkeypatch, "chat", tiny_artefact.folder, "--prompt", "") == 2
    assert "--prompt is empty: ask something" in capsys.readouterr().err
    assert run(monkeypatch, "chat", tiny_artefact.folder, "--max-tokens", "3", "--temperature", "0") == 0
    assert lines.read() == "never asked\n"
    said = capsys.readouterr().out.splitlines()
    assert said[: len(said) // 2] == said[len(said) // 2 :]
