"""A LoRA adapter from its folder to checked files, through the command line."""

import json
from pathlib import Path

import pytest
from in_process import run
from tiny_adapter import CONFIG, write_lora

from smolship.artefact import Artefact
from smolship.checkpoint import open_checkpoint
from smolship.workflows.identity import prove_identical

TARGET = """
name = "bench"
title = "a bench"
measured_here = true
[device]
architecture = "any"
runtimes = ["gguf", "onnx", "executorch"]
[[budget]]
metric = "kl_mean"
limit = "<= 0.5 nats"
source = "this test"
"""


@pytest.fixture
def mine(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an adapter, which is where the command line runs, beside the file of a target."""
    folder = write_lora(tmp_path / "mine")
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": str(tiny_folder)}))
    (tmp_path / "bench.toml").write_text(TARGET)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("mine")
def test_an_adapter_ships_in_three_formats(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "build", "mine", "-o", "out", "-r", "q8", "--context", "640") == 0
    artefacts = [Artefact.open(path) for path in sorted(Path("out").iterdir())]
    assert [one.folder.name for one in artefacts] == ["mine-q8-executorch", "mine-q8-gguf", "mine-q8-onnx"]
    prove_identical(artefacts)
    merged = open_checkpoint("mine").source
    for one in artefacts:
        source = one.manifest.source
        assert (source.kind, source.location, source.sha256) == ("folder", "mine", merged.sha256)
        assert source.adapter is not None
        assert source.adapter.base.sha256 == open_checkpoint(str(tiny_folder)).source.sha256
        card = (one.folder / "README.md").read_text()
        assert "from the folder mine, a LoRA adapter merged into TinyLM2-Instruct" in card
    capfd.readouterr()
    checked = ("check", *(one.folder for one in artefacts), "-t", "bench.toml", "--repeats", "1")
    assert run(monkeypatch, *checked) == 0, capfd.readouterr().out  # the manifests name adapter and base


def test_what_was_made_from_another_adapter_is_built_again(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ("build", "mine", "-o", "out", "-r", "q8", "-f", "gguf", "--context", "640", "--json")
    kept = []
    for alpha in (8, 8, 9):
        config = json.loads((mine / CONFIG).read_text())
        (mine / CONFIG).write_text(json.dumps(config | {"lora_alpha": alpha}))
        assert run(monkeypatch, *order) == 0
        kept.append(json.loads(capsys.readouterr().out)[0]["kept"])
    assert kept == [False, True, False]


@pytest.mark.usefixtures("mine")
def test_inspect_names_the_base(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "inspect", "mine") == 0
    assert "a LoRA adapter, merged into folder TinyLM2-Instruct" in " ".join(capsys.readouterr().out.split())
    assert run(monkeypatch, "inspect", "mine", "--base", "embedded", "--json") == 2
    assert "its base wants" in capsys.readouterr().err
    assert run(monkeypatch, "plan", "mine", "--base", tiny_folder, "-f", "gguf", "-r", "q8", "--json") == 0


def test_a_base_that_is_missing_is_one_sentence(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((mine / CONFIG).read_text())
    (mine / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": "/home/me/smol"}))
    assert run(monkeypatch, "ship", "mine", "-o", "out") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "mine is a LoRA adapter, and its base /home/me/smol (--base names another) cannot be opened: " in said
    assert not Path("out").exists()
