"""The main job on the real SmolLM2-135M-Instruct: six artefacts, each on its own runtime, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smolship.artefact import Artefact

pytestmark = pytest.mark.real
FORMATS = ("gguf", "onnx", "executorch")
RECIPES = ("q4-e8-calibrated", "q8")


class Run(NamedTuple):
    """Where the main job wrote, how it ended and what it said."""

    out: Path
    ended: "subprocess.CompletedProcess[str]"
    report: dict[str, Any]


def smolship(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "smolship", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("ship")
    ended = smolship("ship", "embedded", "-o", out, "--repeats", "2", "--json")
    return Run(out, ended, json.loads(ended.stdout))


def test_all_is_well_and_nothing_but_the_report_is_printed(run: Run) -> None:
    failed = [
        (one["measurements"]["subject"]["recipe"], one["measurements"]["subject"]["format"], verdict)
        for one in run.report["checked"]
        for verdict in one["verdicts"]
        if verdict["outcome"] != "pass"
    ]
    assert failed == []
    assert run.ended.stderr == ""
    assert run.ended.returncode == 0


def test_there_are_six_whole_artefacts_and_no_leftovers(run: Run) -> None:
    names = {f"SmolLM2-135M-Instruct-{recipe}-{fmt}" for recipe in RECIPES for fmt in FORMATS}
    assert {path.name for path in run.out.iterdir()} == names | {"report.json", "report.html", "report.md"}
    for name in names:
        Artefact.open(run.out / name).verify()


@pytest.mark.parametrize("fmt", FORMATS)
def test_q8_agrees_with_the_reference_and_knows_the_capital_of_france(run: Run, fmt: str) -> None:
    measured = measurements(run, "q8", fmt)
    assert measured["fidelity"]["positions"] == 4096
    assert measured["fidelity"]["top1"] >= (0.90 if fmt == "executorch" else 0.95)
    answers = {answer["name"]: answer for answer in measured["answers"]}
    assert "Paris" in answers["capital-of-france"]["text"]
    assert answers["capital-of-france"]["stopped"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_everything_was_measured(run: Run, recipe: str, fmt: str) -> None:
    measured = measurements(run, recipe, fmt)
    assert measured["failure"] is None
    assert len(measured["decode"]["seconds"]) == 2
    assert measured["decode"]["tokens"] == 128
    assert set(measured["prefill"]) == {"64", "512"}
    assert measured["memory"]["peak"] >= measured["memory"]["anon"] > 0
    assert measured["memory"]["samples"] > 10
    assert measured["tokenizer"]["identical"] == measured["tokenizer"]["compared"] > 0
    assert measured["chat_template"]["identical"] == measured["chat_template"]["compared"] > 0


def test_the_integers_are_proved_identical_in_the_files(run: Run) -> None:
    assert any(
        "210 tensors hold the same integers on int4-b32" in line and "executorch, gguf, onnx" in line
        for line in run.report["identical"]
    )
    assert any(
        "211 tensors hold the same integers on int8-b32" in line and "gguf, onnx" in line
        for line in run.report["identical"]
    )


def test_a_second_build_keeps_all_six(run: Run) -> None:
    ended = smolship("build", "embedded", "-o", run.out, "-r", RECIPES[0], "-r", "q8", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [one["kept"] for one in json.loads(ended.stdout)] == [True] * 6


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_can_be_talked_to(run: Run, fmt: str) -> None:
    folder = run.out / f"SmolLM2-135M-Instruct-q8-{fmt}"
    question = ("-p", "What is the capital of France?", "--system", "Answer in one short sentence.")
    ended = smolship("chat", folder, *question, "--temperature", "0")
    assert ended.returncode == 0, ended.stderr
    assert "Paris" in ended.stdout
    assert ended.stderr == ""


def test_another_device_s_speed_is_not_measured_here(run: Run) -> None:
    folder = run.out / "SmolLM2-135M-Instruct-q4-e8-calibrated-gguf"
    ended = smolship("check", folder, "-t", "raspberry-pi-5", "--repeats", "1", "--json")
    verdicts = {one["metric"]: one for one in json.loads(ended.stdout)["checked"][0]["verdicts"]}
    assert verdicts["decode"]["outcome"] == "not measured"
    assert verdicts["decode"]["value"] is None
    assert verdicts["size"]["outcome"] == "pass"


def measurements(run: Run, recipe: str, fmt: str) -> dict[str, Any]:
    for one in run.report["checked"]:
        subject = one["measurements"]["subject"]
        if (subject["recipe"], subject["format"]) == (recipe, fmt):
            return dict(one["measurements"])
    raise AssertionError(f"{recipe} {fmt} was not checked")
