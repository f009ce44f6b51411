"""The main job on the real SmolLM2-135M-Instruct: six artefacts, each on its own runtime, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from board.board import Board
from card_examples import examples, run_python
from in_process import run as in_process
from junitparser import JUnitXml
from kept_results import kept_results
from signs_of_life import without_signs

from smolship.artefact import Artefact
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.report.write import FILES
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

pytestmark = pytest.mark.real
FORMATS = ("gguf", "onnx", "executorch")
EMULATED = """
name = "emulated"
title = "the emulated board"
[device]
architecture = "aarch64"
cpu_features = ["asimddp"]
runtimes = ["gguf", "onnx", "executorch"]
[[budget]]
metric = "answers"
limit = ">= 100 %"
source = "the capital of France"
[[budget]]
metric = "peak_memory"
limit = "<= 800 MB"
source = "three runtimes on this host"
[[budget]]
metric = "kl_mean"
limit = "<= 0.2 nats"
source = "README"
"""
RECIPES = ("q4-e8-calibrated", "q8")
JUDGED = [
    name for name in METRICS if name not in ("task_accuracy_delta", "kl_topk", "kl_topk_host", "top1_host", "sustained")
]
"""what is measured of every artefact on this host without being asked for"""


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
    with kept_results():
        ended = smolship("ship", "embedded", "-o", out, "--repeats", "2", "--json")
    sys.stderr.write(ended.stderr)  # how long each stage took, in the log of a run that fails
    return Run(out, ended, json.loads(ended.stdout))


def test_all_is_well_and_nothing_but_the_report_and_signs_of_life_is_printed(run: Run) -> None:
    failed = [
        (one["subject"]["recipe"], one["subject"]["format"], verdict)
        for one in run.report["checked"]
        for verdict in one["judged"][0]["verdicts"]
        if verdict["outcome"] != "pass"
    ]
    assert failed == []
    assert without_signs(run.ended.stderr) == ""
    for stage in ("ExecuTorch: lower it to XNNPACK", "Checking q8 onnx"):
        assert f"] {stage} ...\n" in run.ended.stderr
        assert f"] {stage}: done in " in run.ended.stderr
    assert run.ended.returncode == 0


def test_there_are_six_whole_artefacts_and_no_leftovers(run: Run) -> None:
    names = {f"SmolLM2-135M-Instruct-{recipe}-{fmt}" for recipe in RECIPES for fmt in FORMATS}
    assert {path.name for path in run.out.iterdir()} == names | set(FILES)
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


def test_the_plan_predicted_what_was_built_and_what_was_measured(run: Run) -> None:
    ended = smolship("plan", "embedded", *(f"--recipe={recipe}" for recipe in RECIPES), "--json")
    assert ended.returncode == 0, ended.stderr
    plan = json.loads(ended.stdout)
    assert plan["targets"][0]["ship"] == {"recipe": "q8", "format": "gguf"}
    for file, suit in zip(plan["files"], plan["targets"][0]["files"], strict=True):
        subject = measurements(run, file["recipe"], file["format"])["subject"]
        exact = file["format"] == "gguf"
        for size in ("model_size", "size"):
            assert file["predicted"][size] == pytest.approx(subject[size], rel=0 if exact else 0.01)
        assert file["predicted"]["bits_per_weight"] == pytest.approx(subject["bits_per_weight"], abs=1e-6)
        peak = measurements(run, file["recipe"], file["format"])["memory"]["peak"]
        # how much of torch's libraries is resident depends on the page cache: 60 MB of 700
        assert suit["predicted"]["memory_checked"]["peak_memory"] == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize("metric", JUDGED)
def test_the_gate_fails_when_a_budget_is_tightened_below_what_was_measured(
    run: Run,
    metric: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The best of the six, made better by a thousandth: none of them keeps that."""
    of = METRICS[metric]
    folders = [run.out / f"SmolLM2-135M-Instruct-{recipe}-{fmt}" for recipe in RECIPES for fmt in FORMATS]
    found = [value for folder in folders if (value := values(Measurements.read(folder))[metric]) is not None]
    assert len(found) == 6
    if of.better == "lower":
        budget = f"{metric} <= {0.999 * min(found) / of.unit.factor:.9f} {of.unit.name}"
    else:
        budget = f"{metric} >= {1.001 * max(found) / of.unit.factor:.9f} {of.unit.name}"
    assert in_process(monkeypatch, "report", *folders, "-o", tmp_path, "--budget", budget) == 1
    assert of.title in capfd.readouterr().out
    cases = [case for suite in JUnitXml.fromfile(str(tmp_path / "report.xml")) for case in suite]
    assert [case.result[0].message.split(":")[0] for case in cases] == [of.title] * 6


def test_questions_of_a_task_are_asked_and_gated(run: Run, tmp_path: Path) -> None:
    lines = [
        {
            "id": "1",
            "query": "Question: What is the capital of France?\nAnswer:",
            "choices": ["Paris", "Oslo"],
            "gold": 0,
        },
        {"id": "2", "query": "Question: What do cows drink?\nAnswer:", "choices": ["petrol", "water"], "gold": 1},
        {"id": "3", "query": "Question: Which is hot?\nAnswer:", "choices": ["fire", "ice", "snow"], "gold": 0},
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = run.out / "SmolLM2-135M-Instruct-q8-gguf"
    order = (
        "check",
        folder,
        "--task",
        tmp_path / "own.jsonl",
        "--repeats",
        "1",
        "--text",
        "code",
        "--report",
        tmp_path,
        "--json",
    )
    ended = smolship(*order, "--budget", "task_accuracy_delta >= 1 pp")
    assert ended.returncode == 1, ended.stderr
    (one,) = json.loads(ended.stdout)["checked"]
    (task,) = one["records"][0]["tasks"]
    assert (task["rows"], task["accuracy"]) == (3, task["reference_accuracy"])
    (failed,) = [verdict for verdict in one["judged"][0]["verdicts"] if verdict["outcome"] == "fail"]
    assert (failed["metric"], failed["shown"], failed["limit"]) == ("task_accuracy_delta", "0.0 pp", ">= 1.0 pp")


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


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_examples_of_the_model_card_run(run: Run, fmt: str) -> None:
    folder = run.out / f"SmolLM2-135M-Instruct-q8-{fmt}"
    card = (folder / "README.md").read_text()
    assert "| top-1 agreement | 9" in card
    for example in examples(card, "python"):
        assert "The capital of France is Paris." in run_python(example, folder)


TEN = (
    "What is the capital of France?",
    "Name a colour of the rainbow.",
    "What is the opposite of hot?",
    "How many days are in a week?",
    "What is the chemical symbol for water?",
    "Who wrote Romeo and Juliet?",
    "What do bees make?",
    "Write a sentence about the sea.",
    "Explain what a bicycle is.",
    "Give me three tips for sleeping well.",
)
ANSWER = 48
"""tokens that an answer may have"""


def test_executorch_s_own_runner_gives_the_same_tokens_on_ten_prompts(run: Run, tmp_path: Path) -> None:
    """The greedy tokens of ours, up to the end token or the limit; some answers end, some do not."""
    from smolship.runtime_checks.probe.backend_executorch import Backend

    folder = run.out / "SmolLM2-135M-Instruct-q8-executorch"
    prompts = [
        f"<|im_start|>system\nAnswer in English.<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        for text in TEN
    ]
    place = tmp_path / "answers.json"  # the runner prints its answers on stdout by itself
    run_python(LLM_RUNNER.format(prompts=prompts, count=ANSWER, place=str(place)), folder)
    said = json.loads(place.read_text())
    backend = Backend(str(folder), 2048, 2)
    (end,) = backend.tokenize("<|im_end|>")
    ended = []
    for prompt, answer in zip(prompts, said, strict=True):
        logits, tokens = backend.prefill(backend.tokenize(prompt)), list[int]()
        while len(tokens) < ANSWER and end not in tokens:
            tokens.append(int(logits.argmax()))
            logits = backend.decode(tokens[-1])
        assert [piece.encode() for piece in answer] == [backend.detokenize([token]) for token in tokens]
        ended.append(end in tokens)
    assert "Paris" in "".join(said[0])
    assert any(ended)
    assert not all(ended)


LLM_RUNNER = """
import ctypes
import json
from pathlib import Path
import executorch
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

library = Path(executorch.__path__[0]) / "lib" / "libexecutorch_kernels_quantized.so"
ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
runner, answers = TextLLMRunner("model.pte", "tokenizer.json"), []
for prompt in {prompts!r}:
    pieces = []
    runner.reset()
    runner.generate(prompt, GenerationConfig(max_new_tokens={count}, temperature=0.0, echo=False), pieces.append)
    answers.append(pieces)
Path({place!r}).write_text(json.dumps(answers))
"""


def test_another_device_s_speed_is_not_measured_here(run: Run) -> None:
    folder = run.out / "SmolLM2-135M-Instruct-q4-e8-calibrated-gguf"
    ended = smolship("check", folder, "-t", "raspberry-pi-5", "--repeats", "1", "--text", "code", "--json")
    verdicts = {one["metric"]: one for one in json.loads(ended.stdout)["checked"][0]["judged"][0]["verdicts"]}
    assert verdicts["decode"]["outcome"] == "not measured"
    assert verdicts["decode"]["value"] is None
    assert verdicts["size"]["outcome"] == "pass"


def test_the_emulated_board_computes_what_this_host_does(run: Run, board: Board, tmp_path: Path) -> None:
    folders = [run.out / f"SmolLM2-135M-Instruct-{RECIPES[0]}-{fmt}" for fmt in FORMATS]
    (tmp_path / "emulated.toml").write_text(EMULATED)
    reach = ("--host", "board", "--ssh-config", board.ssh_config, "--target", tmp_path / "emulated.toml")
    written = ("--report", tmp_path, "--junit", tmp_path / "smoke.xml", "--json")
    with kept_results():
        ended = smolship("smoke", *folders, *reach, *written, "--brief", "--threads", "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (device,) = json.loads(ended.stdout)
    assert [one["subject"]["format"] for one in device["report"]["checked"]] == list(FORMATS)
    for one in device["report"]["checked"]:
        here, measured = one["records"]  # `ship` measured the same file before
        assert (here["device"], measured["device"]["name"]) == (None, "board")
        verdicts = {verdict["metric"]: verdict for verdict in one["judged"][0]["verdicts"]}
        assert measured["failure"] is None
        assert measured["device"]["facts"]["machine"] == measured["host"]["machine"] == "aarch64"
        assert [answer["right"] for answer in measured["answers"]] == [True]
        assert measured["from_host"]["positions"] == 128
        assert measured["from_host"]["top1_or_near"] >= 0.99
        allowed = runtime_for(measured["subject"]["format"]).apart
        assert measured["from_host"]["kl_mean"] <= max(allowed, 2 * measured["host_noise"]["kl_mean"])
        assert measured["memory"]["peak"] > measured["after_imports"]["rss"] > 0
        assert measured["decode"]["tokens"] / measured["decode"]["seconds"][0] > 0.1
        for metric in ("top1_host", "kl_topk_host", "answers", "peak_memory"):
            assert (verdicts[metric]["outcome"], verdicts[metric]["measured"]) == ("pass", "on the device")
        assert verdicts["kl_mean"]["measured"] == "on this host"
    assert (tmp_path / "smoke.xml").read_text().count("<testcase ") == len(FORMATS)
    assert "measured on the device" in (tmp_path / "report.html").read_text()


def measurements(run: Run, recipe: str, fmt: str) -> dict[str, Any]:
    for one in run.report["checked"]:
        subject = one["subject"]
        if (subject["recipe"], subject["format"]) == (recipe, fmt):
            return dict(one["records"][0])
    raise AssertionError(f"{recipe} {fmt} was not checked")
