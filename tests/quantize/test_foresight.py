"""What calibration says of itself before it starts: more work takes longer, larger models take more memory."""

import re
from dataclasses import replace

import pytest

from smolship.checkpoint import Architecture, Checkpoint
from smolship.quantize import SAMPLED, Calibrating
from smolship.quantize import foresight as module
from smolship.quantize.foresight import foresee
from smolship.text_file import TextFile


@pytest.fixture
def small(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    """The shapes of the 135M model, on a machine of 100 billion operations a second."""
    monkeypatch.setattr(module, "speed", lambda: 1e11)
    monkeypatch.setattr(module, "float_speed", lambda: 1e11)
    tiny = replace(tiny_checkpoint.architecture, vocabulary=49152, max_positions=8192)
    return replace(tiny, layers=30, hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64)


def test_a_slower_machine_and_more_text_take_longer(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = foresee(small, SAMPLED, distils=False)
    assert foresee(small, Calibrating(at_most=16), distils=False).seconds < 0.3 * whole.seconds
    monkeypatch.setattr(module, "speed", lambda: 1e15)
    assert 0.5 * whole.seconds < foresee(small, SAMPLED, distils=False).seconds < 0.8 * whole.seconds
    monkeypatch.setattr(module, "speed", lambda: 5e10)
    monkeypatch.setattr(module, "float_speed", lambda: 5e10)
    assert foresee(small, SAMPLED, distils=False).seconds == pytest.approx(2 * whole.seconds)


def test_reading_a_text_is_quicker_than_writing_one_and_training_takes_longest(small: Architecture) -> None:
    text = TextFile("own.txt", "words", "0" * 64)
    written = foresee(small, Calibrating(at_most=64), distils=False)
    assert foresee(small, Calibrating(text, at_most=64), distils=False).seconds < written.seconds
    assert foresee(small, Calibrating(at_most=64), distils=True).seconds > 3 * written.seconds


def test_it_is_said_in_minutes_and_gigabytes(small: Architecture) -> None:
    said = str(foresee(small, SAMPLED, distils=False))
    assert re.fullmatch(r"about 2\d min and \d\.\d GB", said)


def test_the_memory_grows_with_the_model(small: Architecture) -> None:
    large = replace(small, layers=24, hidden=2048, intermediate=8192, heads=32, kv_heads=32)
    assert foresee(large, SAMPLED, distils=False).memory > 5 * foresee(small, SAMPLED, distils=False).memory
