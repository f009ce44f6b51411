"""`smolship compare` as a user runs it: what it reads, what it refuses, and how it ends."""

import json
import shutil
from pathlib import Path

import pytest
from in_process import run
from measured import measured

from smolship.artefact import MEASUREMENTS_FILE, Artefact
from smolship.runtime_checks.check_artefact import subject_of
from smolship.runtime_checks.measurements import Failure, Measurements
from smolship.runtime_checks.report import report_of
from smolship.runtime_checks.report.write import write_report
from smolship.targets import load_target

NAME = "TinyLM2-Instruct-q8-gguf"
ANY_SPEED = [f"--max-regression={name}=100%" for name in ("decode", "prefill_64", "prefill_512")]
ANY_TIME = ["--max-regression=first_token=1000s", "--max-regression=peak_memory=1GB"]


@pytest.fixture
def old(tiny_artefact: Artefact, tmp_path: Path) -> Path:
    """A release of one artefact, with what was measured of it."""
    folder = Path(shutil.copytree(tiny_artefact.folder, tmp_path / "v1" / NAME))
    write(folder)
    return folder.parent


@pytest.fixture
def new(old: Path, tmp_path: Path) -> Path:
    """The same again."""
    return Path(shutil.copytree(old, tmp_path / "v2"))


def write(folder: Path, *, top1: float = 0.96, failure: Failure | None = None) -> None:
    told = measured(top1=top1).model_copy(update={"subject": subject_of(Artefact.open(folder)), "failure": failure})
    told.write(folder)


def test_the_same_release_again_ends_with_0(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "compare", old, new) == 0
    shown = capfd.readouterr().out
    assert "the same model file" in shown
    assert "decode: measured at different times: --rerun measures both side by side" in shown


def test_what_got_worse_ends_with_1_and_is_written(
    old: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(new / NAME, top1=0.9)
    assert run(monkeypatch, "compare", old, new, "-o", tmp_path / "out", "--json") == 1
    told = json.loads(capfd.readouterr().out)
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == told
    assert told["pairs"][0]["outcome"] == "fail"
    assert "| top-1 agreement | 96.0 % | 90.0 % | -6.00 pp | 0.5 pp (default) | **fail** |" in (
        tmp_path / "out" / "comparison.md"
    ).read_text(encoding="utf-8")
    assert run(monkeypatch, "compare", old, new, "--max-regression", "top1=7pp") == 0


def test_a_report_is_a_release_too(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Measurements.read(old / NAME)
    write_report(report_of([record], [load_target("host")]), tmp_path / "report")
    for release in (
        tmp_path / "report",
        tmp_path / "report" / "report.json",
        old / NAME,
        old / NAME / MEASUREMENTS_FILE,
    ):
        assert run(monkeypatch, "compare", old, release) == 0


def test_a_runtime_that_failed_ends_with_3(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(new / NAME, failure=Failure(stage="load", message="ended by SIGILL"))
    assert run(monkeypatch, "compare", old, new) == 3


def test_a_lost_artefact_ends_with_1_unless_allowed(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(old / NAME, old / "more")
    manifest = (old / "more" / "manifest.json").read_text().replace('"recipe": "q8"', '"recipe": "q9"')
    (old / "more" / "manifest.json").write_text(manifest)
    write(old / "more")
    assert run(monkeypatch, "compare", old, new) == 1
    assert run(monkeypatch, "compare", old, new, "--allow-removed") == 0
    assert run(monkeypatch, "compare", new, old) == 0


def test_the_same_files_need_no_rerun(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (new / NAME / MEASUREMENTS_FILE).unlink()  # sizes and turns need none
    assert run(monkeypatch, "compare", old, new, "--max-regression=decode=1%") == 2
    assert "measure it with `smolship check`" in capfd.readouterr().err
    assert run(monkeypatch, "compare", old, new, "--max-regression=decode=1%", "--rerun", "--all") == 0
    shown = capfd.readouterr().out
    assert "mean KL divergence, " in shown
    assert "the new one has none" in shown


def test_both_sides_are_run_in_turns(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rerun", "--rerun-identical", "--rounds", 3, "--threads", 1, *ANY_SPEED, *ANY_TIME]
    assert run(monkeypatch, "compare", old, new, *arguments) == 0
    shown = capfd.readouterr().out
    assert "Measured in turns: 3 rounds, 1 threads" in shown
    assert "in brackets the 75 % interval of the median: six rounds or more are worth 95 %" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{old}", "{old}/nothing"], "there is no"),
        (["{old}", "{empty}"], "holds no measurements"),
        (["{old}", "{new}", "--max-regression", "decode=fast"], "'fast' is no quantity"),
        (["{old}", "{new}", "--rounds", "5"], "--rounds: only with --rerun, for without it nothing is run"),
        (["{old}", "{new}", "--threads", "1", "--rerun-identical"], "--threads, --rerun-identical: only with --rerun"),
        (["{old}", "{empty}", "--rerun"], "--rerun runs the files, and"),
        (["{old}", "{old}/" + NAME + "/" + MEASUREMENTS_FILE, "--rerun"], "holds no artefact: give a folder"),
        (["{old}", "{stale}"], "is of another model file"),
        (["{old}", "{damaged}", "--rerun"], "is not the file that manifest.json lists"),
    ],
)
def test_a_mistake_is_one_sentence_and_ends_with_2(
    arguments: list[str], said: str, old: Path, new: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    stale = Path(shutil.copytree(new, tmp_path / "stale"))
    record = (stale / NAME / MEASUREMENTS_FILE).read_text()
    digest = Measurements.read(stale / NAME).subject.model_sha256
    (stale / NAME / MEASUREMENTS_FILE).write_text(record.replace(digest, "f" * 64))
    damaged = Path(shutil.copytree(new, tmp_path / "damaged"))
    (damaged / NAME / "Modelfile").write_text("FROM elsewhere")
    places = {"old": old, "new": new, "stale": stale, "damaged": damaged, "empty": tmp_path / "empty"}
    assert run(monkeypatch, "compare", *(one.format(**places) for one in arguments), "-o", tmp_path / "out") == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_taken_is_refused_before_anything_is_read(
    old: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    taken = old / NAME / MEASUREMENTS_FILE
    assert run(monkeypatch, "compare", old, old / "nothing", "-o", taken / "out") == 2
    assert f"cannot write into {taken / 'out'} ({taken} is a file): choose another --out" in capfd.readouterr().err
