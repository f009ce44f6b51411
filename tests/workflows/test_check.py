"""Check and ship through the command line on a tiny model: the exit code is the verdict."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import run
from signs_of_life import without_signs

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import SmolshipError
from smolship.terminal import QUIET
from smolship.workflows.build import Order, build
from smolship.workflows.identity import prove_identical

TARGET = """
name = "bench"
title = "a bench"
measured_here = true
[device]
architecture = "any"
runtimes = ["gguf"]
[[budget]]
metric = "size"
limit = "<= {size}"
source = "this test"
"""


IMPATIENT = """
from smolship import log_progress, terminal
terminal.ProgressLog = lambda stream: log_progress.ProgressLog(stream, log_progress.Pace(patience=0))
from smolship.cli import main
main()
"""
"""smolship whose log has a line for the shortest stage too: how long one takes is the machine's affair"""


def smolship(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", IMPATIENT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shipped(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    out = tmp_path_factory.mktemp("shipped")
    target = out.parent / "bench.toml"
    target.write_text(TARGET.format(size="9 MB"))
    order = ("-r", "q4", "-f", "gguf", "--context", "640", "--repeats", "1", "--json")
    return out, smolship("ship", tiny_folder, "-o", out, "-t", target, *order)


def test_ship_ends_well_with_artefact_measurements_and_report(
    shipped: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    out, ended = shipped
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert json.loads((out / "report.json").read_text()) == report
    assert "<html" in (out / "report.html").read_text()
    measured = json.loads((out / "TinyLM2-Instruct-q4-gguf" / "measurements.json").read_text())
    assert measured == report["checked"][0]["records"][0]
    assert measured["fidelity"]["positions"] == 4096
    assert measured["failure"] is None
    assert "| decode |" in (out / "TinyLM2-Instruct-q4-gguf" / "README.md").read_text()
    assert {stage["name"] for stage in report["stages"]} >= {"round the weights", "check on the runtimes"}


def test_signs_of_life_and_none_of_the_libraries_noise_reach_the_user(
    shipped: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    assert without_signs(shipped[1].stderr) == ""
    assert re.search(r"^\[ +\d+:\d\d\] Checking q4 gguf \.\.\.$", shipped[1].stderr, re.MULTILINE)
    assert re.search(r"^\[ +\d+:\d\d\] Checking q4 gguf: done in \d+ s", shipped[1].stderr, re.MULTILINE)


def test_a_broken_budget_is_exit_code_1(
    shipped: "tuple[Path, subprocess.CompletedProcess[str]]", tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "strict.toml").write_text(TARGET.format(size="1 kB"))
    artefact = shipped[0] / "TinyLM2-Instruct-q4-gguf"
    order = ("--checkpoint", tiny_folder, "-t", tmp_path / "strict.toml", "--repeats", "1", "--report", tmp_path)
    monkeypatch.setenv(QUIET, "0")  # what --quiet sets is put back with it
    code, shown = run(monkeypatch, "--quiet", "check", artefact, *order), capfd.readouterr()
    assert (code, shown.err) == (1, "")
    assert "<= 0.001 MB" in shown.out
    assert "fail" in shown.out
    assert "not all is well" in shown.out
    assert (tmp_path / "report.md").is_file()


def test_a_runtime_that_refuses_the_file_is_exit_code_3(
    shipped: "tuple[Path, subprocess.CompletedProcess[str]]", tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A file cut short in a build that was wrong from the start: its hash is right, its content is not."""
    broken = Path(shutil.copytree(shipped[0] / "TinyLM2-Instruct-q4-gguf", tmp_path / "broken"))
    data = (broken / "model.gguf").read_bytes()[:-4096]
    (broken / "model.gguf").write_bytes(data)
    manifest = json.loads((broken / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == "model.gguf":
            file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (broken / "manifest.json").write_text(json.dumps(manifest))
    (broken / "README.md").write_text("mine")
    code = run(monkeypatch, "check", broken, "--checkpoint", tiny_folder, "--repeats", "1")
    shown = capfd.readouterr()
    assert code == 3, shown.out + shown.err
    assert "failed to run" in shown.out
    assert "README.md is your own and was left as it is" in shown.err
    assert (broken / "README.md").read_text() == "mine"
    assert "Traceback" not in shown.err


def test_a_changed_file_is_exit_code_2(
    shipped: "tuple[Path, subprocess.CompletedProcess[str]]", tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    changed = Path(shutil.copytree(shipped[0] / "TinyLM2-Instruct-q4-gguf", tmp_path / "changed"))
    (changed / "Modelfile").write_text("FROM elsewhere")
    assert run(monkeypatch, "check", changed, "--checkpoint", tiny_folder) == 2
    assert "is not the file that manifest.json lists" in capfd.readouterr().err


def test_identical_integers_are_proved_and_a_difference_is_named(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = build(tiny_checkpoint, tmp_path / "a", Order(("q4",), ("gguf",), 256))[0].artefact
    twin = Artefact(first.folder, first.manifest.model_copy(update={"format": "gguf"}))
    assert prove_identical([first, twin]) == []  # one format has nothing to be compared with
    other = build(tiny_checkpoint, tmp_path / "b", Order(("q4",), ("onnx",), 256))[0].artefact
    (proved,) = prove_identical([first, other])
    assert (proved.grid, proved.formats, proved.tensors) == ("int4-b32", ("gguf", "onnx"), 15)
    data = bytearray(first.model_path.read_bytes())
    data[-300] ^= 0x11
    first.model_path.write_bytes(data)
    with pytest.raises(SmolshipError, match="is not the same in gguf and onnx"):
        prove_identical([first, other])
