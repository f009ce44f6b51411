"""The gate: every kind of budget decides, what was not measured does not pass, a device speaks for its own target."""

import json
from pathlib import Path

import pytest
from in_process import run
from measured import measured, on_device

from smolship.artefact import Artefact
from smolship.errors import InputError
from smolship.runtime_checks.check_artefact import subject_of
from smolship.runtime_checks.measurements import Measurements, TaskScore
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS
from smolship.workflows.gate import gate_of

ON_DEVICES = ("kl_topk", "kl_topk_host", "top1_host", "sustained")
"""what only a device's run has"""
TASK = TaskScore(name="questions", sha256="2" * 64, rows=50, accuracy=0.5, reference_accuracy=0.52, error=0.01)


def records(folder: Path, *measurements: Measurements) -> list[Path]:
    """A folder with measurements.json for each."""
    folders = []
    for number, one in enumerate(measurements):
        place = folder / str(number)
        place.mkdir()
        one.write(place)
        folders.append(place)
    return folders


@pytest.fixture
def well() -> Measurements:
    """An artefact of which everything was measured that this host can measure, and that host's budgets let pass."""
    return measured().model_copy(update={"tasks": (TASK,)})


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in ON_DEVICES])
def test_a_budget_of_any_kind_fails_the_gate_when_it_is_tightened_below_what_was_measured(
    metric: str,
    well: Measurements,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    of, value = METRICS[metric], values(well)[metric]
    assert value is not None
    worse = 0.99 if of.better == "lower" else 1.01
    tightened = value / of.unit.factor * (worse if value > 0 else 0.5)
    sign = "<=" if of.better == "lower" else ">="
    budget = f"{metric} {sign} {tightened:.6f} {of.unit.name}"
    place = records(tmp_path, well)
    assert run(monkeypatch, "report", *place, "-o", tmp_path / "out", "--budget", budget) == 1
    shown = " ".join(capfd.readouterr().out.split())
    assert "Budgets that did not pass" in shown
    assert of.title in shown
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    failed = [one for one in report["checked"][0]["judged"][0]["verdicts"] if one["outcome"] == "fail"]
    assert [(one["metric"], one["source"]) for one in failed] == [(metric, "given with --budget")]


def test_the_gate_passes_with_the_shipped_budgets(
    well: Measurements, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "report", *records(tmp_path, well), "-o", tmp_path / "out") == 0


def test_what_was_not_measured_fails_the_gate_unless_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = records(tmp_path, measured())
    order = ("report", *place, "-o", tmp_path / "out", "--budget", "task_accuracy_delta >= -2 pp")
    assert run(monkeypatch, *order) == 1
    assert "unless you say --allow-unmeasured" in capfd.readouterr().out
    assert run(monkeypatch, *order, "--allow-unmeasured") == 0
    assert "all that was judged is well" in capfd.readouterr().out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["allow_unmeasured"] is True


def test_records_of_several_places_are_one_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    places = records(tmp_path, measured(), on_device(), measured(fmt="onnx"))
    code = run(monkeypatch, "report", *places, "-o", tmp_path / "out", "--junit", tmp_path / "ci" / "junit.xml")
    shown = capfd.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [target["name"] for target in report["targets"]] == ["host", "raspberry-pi-5"]  # those that were measured
    matrix = [[judged["outcome"] for judged in one["judged"]] for one in report["checked"]]
    assert matrix[0] == ["pass", "pass"]
    assert matrix[1][1] == "not measured"  # nobody ran the ONNX file on a Pi
    assert code == 1
    assert "Verdicts" in shown
    assert (tmp_path / "ci" / "junit.xml").read_text().count("<testcase ") == 4
    again = run(monkeypatch, "report", tmp_path / "out", "-t", "host", "-o", tmp_path / "again")
    assert again == run(monkeypatch, "report", places[0], places[2], "-t", "host", "-o", tmp_path / "same")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no"),
        ("{", "is not JSON"),
        ("[1]", "holds no measurements"),
        ('{"report_version": 1}', "is not a report that this version reads"),
        ('{"measurements_version": 2}', "is not what this version writes"),
    ],
)
def test_a_file_that_is_no_record_is_one_sentence(
    content: str | None,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_text(content)
    assert run(monkeypatch, "report", path, "-o", tmp_path / "out") == 2
    told = capfd.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert says in told.err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no measurements: give report\.json"):
        gate_of(["host"], measurements=[tmp_path])


def test_a_devices_record_must_be_of_the_very_file(tiny_artefact: Artefact, tmp_path: Path) -> None:
    subject = subject_of(tiny_artefact)
    same = on_device().model_copy(update={"subject": subject})
    other = on_device().model_copy(update={"subject": subject.model_copy(update={"model_sha256": "f" * 64})})
    (good,) = records(tmp_path, same)
    gate = gate_of(["raspberry-pi-5"], measurements=[good], allow_unmeasured=True)
    gate.require_same_files([tiny_artefact])
    here = measured().model_copy(update={"subject": subject})
    (judged,) = gate.judge([here]).checked[0].judged
    assert judged.measured == "pi"
    other.write(good)
    with pytest.raises(InputError, match=r"tells of another TinyLM2-Instruct-q8-gguf \(sha256 ffffffffffff…\)"):
        gate_of(["raspberry-pi-5"], measurements=[good]).require_same_files([tiny_artefact])
    on_device().write(good)
    with pytest.raises(InputError, match="which is not among the artefacts"):
        gate_of(["raspberry-pi-5"], measurements=[good]).require_same_files([tiny_artefact])


def test_a_record_of_this_host_is_no_record_of_a_device(tmp_path: Path) -> None:
    (here,) = records(tmp_path, measured())
    with pytest.raises(InputError, match="tells of no device"):
        gate_of(["host"], measurements=[here])


def test_a_format_that_no_target_runs_is_refused() -> None:
    gate = gate_of(["browser-wasm32"])
    gate.require(["onnx"])
    with pytest.raises(InputError, match="target browser-wasm32 does not run gguf"):
        gate.require(["gguf", "onnx"])
    gate_of(["browser-wasm32", "host"]).require(["gguf", "onnx"])
