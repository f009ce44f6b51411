"""The texts of fidelity: the project's own kinds, and files."""

import dataclasses
import gzip
from pathlib import Path

import pytest

from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.runtime_checks.texts import KINDS, text_for
from smolship.runtime_checks.windows import windows


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fills_windows(tiny_checkpoint: Checkpoint, kind: str) -> None:
    found = windows(tiny_checkpoint.tokenizer, kind)
    assert 4 <= found.text.windows <= 8
    assert {len(tokens) for tokens in found.tokens} == {512}
    assert found.text.name.startswith("smolship's")


def test_kinds_are_different_texts(tiny_checkpoint: Checkpoint) -> None:
    assert len({windows(tiny_checkpoint.tokenizer, kind).text.sha256 for kind in KINDS}) == len(KINDS)


def test_chat_is_rendered_by_the_checkpoints_template(tiny_checkpoint: Checkpoint) -> None:
    text = text_for(tiny_checkpoint.tokenizer, "chat").content
    assert text.startswith("<|im_start|>system\n")
    assert text.count("<|im_start|>") == text.count("<|im_end|>")
    assert not text.endswith("<|im_start|>assistant\n")


def test_a_base_model_has_no_chat(tiny_checkpoint: Checkpoint) -> None:
    base = dataclasses.replace(tiny_checkpoint.tokenizer, chat_template=None)
    with pytest.raises(InputError, match="no chat template"):
        text_for(base, "chat")
    assert text_for(base, "code").own


def test_a_file_is_read_as_it_is_or_unpacked(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    plain, packed = tmp_path / "chat", tmp_path / "text.gz"
    plain.write_text("Größe\r\nline", newline="")
    packed.write_bytes(gzip.compress("Größe\nline".encode()))
    assert text_for(tiny_checkpoint.tokenizer, plain).content == "Größe\nline"  # a Path is never a kind
    assert text_for(tiny_checkpoint.tokenizer, str(packed)).content == "Größe\nline"


def test_what_is_neither_names_the_kinds(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"text")[:-6])
    for which in ("poems", broken):
        with pytest.raises(InputError, match="prose, chat, code"):
            text_for(tiny_checkpoint.tokenizer, which)
