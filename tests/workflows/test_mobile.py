"""`smolship mobile`: what an app takes, whole or not there, and never something that computes otherwise."""

import json
from pathlib import Path

import onnxruntime
import pytest
from in_process import run

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.export.onnx import mobile as export
from smolship.export.onnx.operators import LOWEST
from smolship.workflows.build import Order, build


@pytest.fixture(scope="module")
def artefact(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    out = tmp_path_factory.mktemp("onnx")
    return build(tiny_checkpoint, out, Order(recipes=("q4-e8",), formats=("onnx",), context=64))[0].artefact


def test_the_folder_has_what_an_app_takes(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "below" / "app"
    assert run(monkeypatch, "mobile", artefact.folder, "-o", out, "--json") == 0
    said = json.loads(capfd.readouterr().out)
    assert sorted(said["files"]) == [
        "config.json",
        "generation_config.json",
        "model.ort",
        "required_operators_and_types.config",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert said["files"] == {path.name: path.stat().st_size for path in out.iterdir()}
    assert said["onnx_bytes"] == artefact.model_path.stat().st_size
    assert said["lowest_onnxruntime"] == LOWEST
    assert said["largest_difference"] < 1e-5
    assert (out / "tokenizer.json").read_bytes() == (artefact.folder / "tokenizer.json").read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["app"]


def test_a_person_reads_sizes_and_the_lowest_runtime(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "mobile", artefact.folder, "-o", tmp_path / "app") == 0
    said = capfd.readouterr().out
    assert f"{(tmp_path / 'app' / 'model.ort').stat().st_size:,}" in said
    assert f"ONNX Runtime {LOWEST} and later" in said


MISTAKES = {
    "not an artefact": (["{tiny}", "-o", "{out}"], "has no manifest.json"),
    "another format": (["{gguf}", "-o", "{out}"], "is in gguf; only onnx has this form"),
    "a place that is taken": (["{onnx}", "-o", "{onnx}"], "is there already: choose another --out"),
    "a place below a file": (["{onnx}", "-o", "{onnx}/model.onnx/app"], "cannot write below"),
    "no place": (["{onnx}"], "Missing option '--out'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    mistake: str, artefact: Artefact, tiny_artefact: Artefact, tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments, said = MISTAKES[mistake]
    places = {"tiny": tiny_folder, "gguf": tiny_artefact.folder, "onnx": artefact.folder, "out": tmp_path / "out"}
    assert run(monkeypatch, "mobile", *(one.format(**places) for one in arguments)) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_artefact_is_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    order = Order(recipes=("q8",), formats=("onnx",), context=64)
    damaged = build(tiny_checkpoint, tmp_path / "damaged", order)[0].artefact
    damaged.model_path.write_bytes(damaged.model_path.read_bytes()[:-1] + b"?")
    assert run(monkeypatch, "mobile", damaged.folder, "-o", tmp_path / "out") == 2
    assert "build it again" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_computes_otherwise_is_no_result(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What ONNX Runtime writes with its folding off: scales behind a cast, which `MatMulNBits` does not see."""

    def unfolded(source: Path, target: Path) -> str:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return LOWEST

    monkeypatch.setattr(export, "write_ort", unfolded)
    assert run(monkeypatch, "mobile", artefact.folder, "-o", tmp_path / "out") == 3
    assert "computes logits that differ by" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
