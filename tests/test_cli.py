"""The command line: mistakes are one sentence and exit code 2, JSON is JSON, and a stop leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import run
from tiny import write_tiny_checkpoint

from smolship import __version__


@pytest.fixture(scope="module")
def built(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    command = [
        sys.executable,
        "-m",
        "smolship",
        "build",
        str(tiny_folder),
        "-o",
        str(out),
        "-f",
        "gguf",
        "--context",
        "256",
        "-r",
        "q4-e8",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.iterdir())


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"smolship {__version__}"


LONE = """
name = "lone"
title = "a device with one runtime"
[device]
architecture = "aarch64"
runtimes = ["gguf"]
"""

CALIBRATED = ["build", "{tiny}", "-o", "{out}", "-f", "gguf", "-r", "q8", "-r", "q4-calibrated", "--calibration-text"]

MISTAKES: dict[str, tuple[list[str], str]] = {
    "unknown recipe": (
        ["build", "{tiny}", "-o", "{out}", "-r", "q3"],
        "unknown recipe 'q3': the known ones are q8, q4-e8",
    ),
    "unknown format": (["build", "{tiny}", "-o", "{out}", "-f", "tflite"], "unknown format 'tflite'"),
    "unknown target": (["ship", "{tiny}", "-o", "{out}", "-t", "nokia-3310"], "unknown target 'nokia-3310'"),
    "no such checkpoint": (["build", "./nowhere", "-o", "{out}"], "nowhere"),
    "empty checkpoint": (["build", "", "-o", "{out}"], "embedded"),
    "a target without that runtime": (
        ["ship", "{tiny}", "-o", "{out}", "-t", "{lone}"],
        "does not run onnx, executorch",
    ),
    "context too long": (["build", "{tiny}", "-o", "{out}", "--context", "9000"], "takes from 64 to 8192"),
    "not an artefact": (["inspect", "nothing here"], "is no file or folder here"),
    "no such artefact": (["check", "{out}/nothing"], "there is no"),
    "neither an artefact nor another's file": (["check", "{short}"], "is nothing that can be checked"),
    "a budget without a unit": (["check", "{built}", "--budget", "decode >= 5"], "has no unit"),
    "a budget of nothing": (["check", "{built}", "--budget", "speed >= 5 tok/s"], "unknown metric 'speed'"),
    "measurements of nothing": (["check", "{built}", "--measurements", "{out}/none.json"], "there is no"),
    "no such questions": (["check", "{built}", "--checkpoint", "{tiny}", "--task", "{out}/none"], "cannot be read"),
    "no such record": (["report", "{out}/none.json"], "there is no"),
    "nothing to compare": (["compare", "{out}/old", "{out}/new"], "there is no"),
    "checkpoint that must be named": (["check", "{built}"], "--checkpoint"),
    "another checkpoint": (["check", "{built}", "--checkpoint", "{other}"], "was made from"),
    "text too short": (["check", "{built}", "--checkpoint", "{tiny}", "--text", "{short}"], "give a longer --text"),
    "ship with a text too short": (["ship", "{tiny}", "-o", "{out}", "--text", "{short}"], "give a longer --text"),
    "a context too short for the questions": (
        ["ship", "{tiny}", "-o", "{out}", "-f", "gguf", "--context", "64"],
        "is too short to check: the longest question is",
    ),
    "a revision of nothing": (["check", "{built}", "--revision", "main"], "give that with --checkpoint"),
    "text that is not there": (["check", "{built}", "--checkpoint", "{tiny}", "--text", "{out}/x"], "cannot be read"),
    "odd temperature": (["chat", "{built}", "-p", "hello", "--temperature", "-1"], "temperature"),
    "unknown option": (["build", "--quantum"], "No such option"),
    "a fit that is no size": (
        ["build", "{tiny}", "-o", "{out}", "--fit", "80M"],
        "--fit '80M' is no size: write a size",
    ),
    "a fit beyond all numbers": (["build", "{tiny}", "-o", "{out}", "--fit", "kl=1e400"], "is no divergence"),
    "distillation of nothing fitted": (
        ["build", "{tiny}", "-o", "{out}", "--distil", "-r", "q4"],
        "--distil goes with --fit: without it, give a recipe whose name ends in -distilled",
    ),
    "a fit and a recipe": (["build", "{tiny}", "-o", "{out}", "--fit", "80MB", "-r", "q8"], "give one of the two"),
    "a calibration text that is not there": ([*CALIBRATED, "{out}/x"], "give --calibration-text a plain text file"),
    "a folder as calibration text": ([*CALIBRATED, "{tiny}"], "give --calibration-text a plain text file"),
    "a calibration text that is none": ([*CALIBRATED, "{tiny}/model.safetensors"], "cannot be read as UTF-8 text"),
    "a calibration text too short, said before the first recipe is written": (
        [*CALIBRATED, "{short}"],
        "give more text",
    ),
    "a calibration text too short to fit on": (
        ["build", "{tiny}", "-o", "{out}", "-f", "gguf", "--fit", "75kB", "--calibration-text", "{short}"],
        "give more text",
    ),
    "a place that is taken": (["build", "{tiny}", "-o", "{short}", "-f", "gguf"], "cannot write below"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    mistake: str, tiny_folder: Path, built: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments, expected = MISTAKES[mistake]
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "lone.toml").write_text(LONE)
    places = {
        "tiny": tiny_folder, "built": built, "out": tmp_path / "out", "short": tmp_path / "short.txt",
        "lone": tmp_path / "lone.toml",
        "other": write_tiny_checkpoint(tmp_path / "other", dtype="float16"),
    }  # fmt: skip
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(monkeypatch, *(one.format(**places) for one in arguments)) == 2
    captured = capfd.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["inspect", "{built}"], "coverage"), (["recipes"], None), (["targets"], None), (["targets", "host"], "budget")],
)
def test_json_is_json(
    arguments: list[str],
    key: str | None,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *(one.format(built=built) for one in arguments), "--json") == 0
    data = json.loads(capfd.readouterr().out)
    assert data if key is None else data[key]


def test_inspect_lists_every_tensor(
    built: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "inspect", built, "--tensors") == 0
    shown = capfd.readouterr().out
    assert "model.layers.1.mlp.down_proj.weight" in shown
    assert "int4-b32" in shown


def test_chat_answers_once(built: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "chat", built, "-p", "hello", "--max-tokens", "5", "--temperature", "0") == 0
    first = capfd.readouterr().out
    assert run(monkeypatch, "chat", built, "-p", "hello", "--max-tokens", "5", "--temperature", "0") == 0
    assert capfd.readouterr().out == first
    assert first.endswith("\n")


def test_chat_says_that_the_context_is_full(
    built: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "chat", built, "-p", "word " * 300) == 2
    assert "build with a larger --context" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_half_written_artefact(tiny_folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A disk that takes a minute for each file makes sure that the stop comes while it writes."""
    slow_disk = "import os, sys, time\nos.fsync = lambda descriptor: time.sleep(60)\n"
    slow_disk += "from smolship.cli import main; sys.argv = ['smolship', *sys.argv[1:]]; main()"
    arguments = ["build", str(tiny_folder), "-o", str(tmp_path / "out"), "-f", "gguf", "-r", "q8", "--context", "256"]
    process = subprocess.Popen(
        [sys.executable, "-c", slow_disk, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".*.partial-*")):  # it is then writing
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert b"interrupted" in errors
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same error from the same call, without a disk to fill."""
    limited = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({20_000}, {20_000}))\n"
    limited += "from smolship.cli import main; sys.argv = ['smolship', *sys.argv[1:]]; main()"
    arguments = ["build", str(tiny_folder), "-o", str(tmp_path / "out"), "-f", "gguf", "-r", "q8", "--context", "256"]
    ended = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "free some room or choose another --out" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "out").iterdir()) == []
