"""Inspect on a checkpoint: what was understood, before anything is built."""

import json
from pathlib import Path

import pytest
from in_process import run
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Rows without a text, four ends, and a beginning that two places state differently."""
    folder = write_tiny_checkpoint(tmp_path / "odd", vocab_size=352)
    ids = {"eos_token_id": [0, 5, 6], "bos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(ids))
    return folder


def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(monkeypatch, "inspect", *arguments) == 0
    return capfd.readouterr().out


def test_one_screen_says_what_was_understood(
    odd: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(shown(monkeypatch, capfd, odd).split())
    assert "Llama architecture, 0.1 M weights" in said
    assert "float32, sha256 " in said
    assert "352 rows, 32 of them without a text" in said
    assert "head the embedding" in said
    assert "an answer ends at <|im_end|> (2): config.json, special_tokens_map.json, the chat template" in said
    assert "<|endoftext|> (0): generation_config.json" in said
    assert "a text begins with <|im_start|>" in said
    assert r"<|im_start|>user\nHello!<|im_end|>" in said
    assert "config.json begins a text with <|endoftext|>, special_tokens_map.json with <|im_start|>" in said
    assert "refused odd ends an answer at 4 tokens and GGUF files have room for 3" in said
    assert len(said) < 3000


def test_the_same_as_json(odd: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    data = json.loads(shown(monkeypatch, capfd, odd, "--json"))
    assert data["architecture"]["end_ids"] == [2, 0, 5, 6]
    assert data["architecture"]["tied"]
    assert data["ends"]["<file_sep> (5)"] == ["generation_config.json"]
    assert data["tokenizer"]["spare_rows"] == list(range(320, 352))
    assert len(data["refused"]) == 1
    assert any("32 of the embedding's 352 rows" in note for note in data["notes"])


def test_a_base_model_has_no_template_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "base", instruct=False)
    assert "none: it completes text" in shown(monkeypatch, capfd, folder)


@pytest.mark.parametrize("option", ["--tensors", "--revision", "--base"])
def test_an_option_that_says_nothing_is_a_mistake(
    option: str,
    odd: Path,
    tiny_artefact: Artefact,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    what = [odd, option] if option == "--tensors" else [tiny_artefact.folder, option, "main"]
    assert run(monkeypatch, "inspect", *what) == 2
    assert f"{option} says nothing of" in capfd.readouterr().err
