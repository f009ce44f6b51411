"""How much text calibration looks at, by where the text comes from."""

from pathlib import Path

import pytest
import torch

from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.quantize import SAMPLED, Calibrating
from smolship.quantize.calibration import from_file
from smolship.quantize.calibration.texts import FEWEST
from smolship.text_file import TextFile, read_text_file


@pytest.fixture
def text(tmp_path: Path) -> TextFile:
    """A text of one's own, of some thousand tokens."""
    path = tmp_path / "own.txt"
    path.write_text("The boat came in at noon, and nobody was there to meet it. " * 400, encoding="utf-8")
    return read_text_file(path, "")


def test_a_text_of_ones_own_counts_twice_as_far_as_samples(text: TextFile) -> None:
    assert Calibrating(text=text).sequences == 2 * SAMPLED.sequences
    assert Calibrating(text=text, at_most=8).sequences == Calibrating(at_most=8).sequences == 8


def test_the_description_names_the_text_its_content_the_limit_and_the_precision(text: TextFile) -> None:
    sampled = SAMPLED.described("tiny", "float32")
    assert sampled == f"{SAMPLED.sequences} sequences sampled from tiny itself, products in float32"
    read = Calibrating(text=text).described("tiny", "bfloat16")
    named = f"{Calibrating(text=text).sequences} sequences of own.txt (sha256 {text.sha256[:16]})"
    assert read == f"up to {named}, products in bfloat16"


def test_the_first_whole_sequences_of_a_text_are_read(tiny_checkpoint: Checkpoint, text: TextFile) -> None:
    tokens = tiny_checkpoint.tokenizer.encode(text.content)
    found = from_file(tiny_checkpoint, text, torch.float32, sequences=FEWEST).sequences
    assert len(found) == FEWEST
    assert found.flatten().tolist() == tokens[: found.numel()]


def test_a_text_too_short_to_calibrate_on_is_bad_input(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("Too short.", encoding="utf-8")
    with pytest.raises(InputError, match=r"--calibration-text short.txt has \d+ tokens, wanted at least"):
        from_file(tiny_checkpoint, read_text_file(path, ""), torch.float32)
