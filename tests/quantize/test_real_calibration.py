"""Calibration of the real checkpoint from nothing: everywhere else its result may come from an earlier run."""

from pathlib import Path

import pytest

from smolship.checkpoint import open_checkpoint
from smolship.quantize import Calibrating, quantize
from smolship.runtime_checks.windows import windows

pytestmark = pytest.mark.real


def test_a_cold_calibration_on_few_sequences_is_much_nearer_than_rounding_to_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of `q4-e8`, by rounding to nearest, it is 0.33 nats on this text."""
    monkeypatch.setenv("SMOLSHIP_CACHE", str(tmp_path))
    checkpoint = open_checkpoint("embedded")
    watch = {"prose": windows(checkpoint.tokenizer, "prose", count=2, length=256).tokens}
    model = quantize(checkpoint, "q4-e8-calibrated", ("gguf",), calibrating=Calibrating(at_most=16, watch=watch))
    moved, rounded = (stage.divergences[0] for stage in model.solution.stages)
    assert moved.kl < 1e-5
    assert rounded.kl < 0.22
    assert {path.parent.name for path in tmp_path.rglob("*.npz")} == {"samples", "prepared", "solutions"}
