"""Self-distillation on the tiny model: codes stand still, the model comes nearer, and a stopped run goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smolship.cache import cache_folder
from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.quantize import Calibrating, quantize
from smolship.quantize.calibration import Calibration
from smolship.quantize.distillation import distil
from smolship.quantize.distillation.loss import divergence_at_head
from smolship.quantize.distillation.student import Student, scales_move
from smolship.quantize.distillation.training import Tuning, batch, train
from smolship.quantize.divergence import Watch
from smolship.quantize.grids import GRIDS, grid_named, round_scale
from smolship.quantize.rounding import NearestRounding
from smolship.quantize.solution import Solution
from smolship.quantize.solving import solve
from smolship.reference import Reference

pytestmark = pytest.mark.slow

FEW = Calibrating(at_most=8)
TUNING = Tuning(steps=12, tokens=256, warm_up=2, keep_every=5)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration(torch.randint(3, 300, (12, 128), generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Checkpoint) -> Reference:
    return Reference.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def watch(calibration: Calibration) -> Watch:
    """The training text itself: what a random model learns holds on no other."""
    return Watch({"own": calibration.sequences[:4]})


@pytest.fixture(scope="module")
def assignment(tiny_checkpoint: Checkpoint) -> dict[str, str]:
    return {name: "int4-b32" for name, shape in tiny_checkpoint.architecture.shapes().items() if len(shape) == 2}


def student_of(
    checkpoint: Checkpoint,
    reference: Reference,
    grid: str = "int4-b32",
    precision: torch.dtype = torch.float32,
) -> Student:
    """All matrices rounded to nearest on one grid."""
    blocks = {
        name: NearestRounding().round(name, w.numpy(), grid_named(grid))
        for name, w in reference.weights.items()
        if w.ndim == 2
    }
    return Student(checkpoint.architecture, Solution(blocks), reference.weights, precision)


def test_distilled_is_nearer_than_calibrated_with_the_same_codes(
    tiny_checkpoint: Checkpoint,
    reference: Reference,
    calibration: Calibration,
    watch: Watch,
    assignment: dict[str, str],
) -> None:
    before = solve(tiny_checkpoint, reference, assignment, calibration, watch)
    tuning = replace(TUNING, steps=40, passes=10, rate=2e-2)
    after = distil(tiny_checkpoint, reference, assignment, calibration, watch, tuning=tuning)
    for name, blocks in before.blocks.items():
        assert np.array_equal(blocks.codes, after.blocks[name].codes)
    assert [stage.name for stage in after.stages] == ["scales moved", "rounded", "distilled"]
    rounded, distilled = (stage.divergences[0].kl for stage in after.stages[1:])
    assert distilled < 0.9 * rounded
    assert not list((cache_folder() / "unfinished").iterdir())


def test_scales_stay_on_the_grid_and_gains_move(
    tiny_checkpoint: Checkpoint, reference: Reference, calibration: Calibration, tmp_path: Path
) -> None:
    student = student_of(tiny_checkpoint, reference)
    start = student.solution()
    train(student, reference, calibration, TUNING, tmp_path / "state.npz")
    found = student.solution()
    for name, blocks in found.blocks.items():
        assert np.array_equal(blocks.scales, round_scale(blocks.scales, grid_named(blocks.grid).scale_format))
        assert np.any(blocks.scales != start.blocks[name].scales)
    assert set(found.floats) == {name for name, w in reference.weights.items() if w.ndim == 1}
    assert all(np.any(gain != reference.weights[name].numpy()) for name, gain in found.floats.items())


def test_a_student_that_learned_nothing_is_what_was_rounded(tiny_checkpoint: Checkpoint, reference: Reference) -> None:
    for grid in ("int4-b32", "iq4_nl", "q5_1", "q4_0"):
        student = student_of(tiny_checkpoint, reference, grid)
        model, found = student.model(), student.solution()
        for name, blocks in found.blocks.items():
            assert torch.allclose(model.weights[name].float(), torch.from_numpy(blocks.dequantize()), rtol=0.01)


@pytest.mark.parametrize("grid", GRIDS)
def test_scales_move_where_they_are_numbers_of_their_own(grid: str) -> None:
    assert scales_move(grid_named(grid)) == (grid not in ("q4_k", "q5_k", "q6_k", "uint4-b32"))


def test_a_grid_whose_scales_are_bound_stays_as_it_was(
    tiny_checkpoint: Checkpoint, reference: Reference, calibration: Calibration, tmp_path: Path
) -> None:
    student = student_of(tiny_checkpoint, reference, "uint4-b32")
    start = student.solution()
    train(student, reference, calibration, TUNING, tmp_path / "state.npz")
    found = student.solution()
    assert all(blocks.same_as(start.blocks[name]) for name, blocks in found.blocks.items())


class Stopped(Exception):
    """What stops a run."""


def test_a_stopped_run_goes_on_to_the_very_same_numbers(
    tiny_checkpoint: Checkpoint,
    reference: Reference,
    calibration: Calibration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = student_of(tiny_checkpoint, reference)
    train(whole, reference, calibration, TUNING, tmp_path / "whole.npz")

    place = tmp_path / "stopped.npz"
    seen: list[int] = []

    def stopping(text: Calibration, tuning: Tuning, step: int) -> torch.Tensor:
        seen.append(step)
        if step == 8 and len(seen) == 9:
            raise Stopped
        return batch(text, tuning, step)

    monkeypatch.setattr("smolship.quantize.distillation.training.batch", stopping)
    with pytest.raises(Stopped):
        train(student_of(tiny_checkpoint, reference), reference, calibration, TUNING, place)
    assert place.is_file()
    again = student_of(tiny_checkpoint, reference)
    train(again, reference, calibration, TUNING, place)
    assert seen == [*range(9), *range(5, 12)]
    assert torch.equal(again.logs, whole.logs)
    ended = student_of(tiny_checkpoint, reference)
    train(ended, reference, calibration, TUNING, place)
    assert seen == [*range(9), *range(5, 12)]
    assert torch.equal(ended.logs, whole.logs)


def test_every_sequence_is_seen_once_before_any_is_seen_again(calibration: Calibration) -> None:
    tuning = Tuning(tokens=256, short=64)
    windows = [batch(calibration, tuning, step) for step in range(6)]
    assert [tuple(found.shape) for found in windows] == [(2, 128), (4, 64)] * 3
    rows = torch.cat([found.reshape(-1, 128) for found in windows])
    assert sorted(rows.tolist()) == sorted(calibration.sequences.tolist())
    assert not torch.equal(batch(calibration, tuning, 6), windows[0])


def test_a_short_text_is_not_learned_by_heart(calibration: Calibration) -> None:
    assert replace(TUNING, steps=100).within(calibration).steps == 6 * 12 // 2
    assert TUNING.within(calibration) == TUNING
    assert Tuning().within(Calibration(calibration.sequences[:1])).steps == 1


def test_the_gradient_is_that_of_the_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, taught, head = (torch.randn(shape, generator=generator) for shape in ((6, 16), (6, 16), (40, 16)))
    head, hidden = head.bfloat16().float().requires_grad_(), hidden.bfloat16().float().requires_grad_()
    p, q = (taught.bfloat16().float() @ head.detach().T).log_softmax(-1), (hidden @ head.T).log_softmax(-1)
    wanted = (p.exp() * (p - q)).sum(-1).mean()
    wanted.backward()
    halves = head.detach().bfloat16()
    loss, at_hidden, at_head = divergence_at_head(hidden, halves, taught, halves, train_head=True)
    assert loss == pytest.approx(wanted.item(), rel=0.02)
    for found, gradient in ((at_hidden, hidden.grad), (at_head, head.grad)):
        assert found is not None
        assert gradient is not None
        assert torch.allclose(found, gradient, atol=0.02 * float(gradient.abs().max()))
    assert divergence_at_head(hidden, halves, taught, halves, train_head=False)[2] is None


def test_every_format_has_the_distilled_blocks(tiny_checkpoint: Checkpoint) -> None:
    formats = ("gguf", "onnx", "executorch")
    model = quantize(tiny_checkpoint, "q4-e8-distilled", formats, calibrating=FEW)
    plain = quantize(tiny_checkpoint, "q4-e8-calibrated", formats, calibrating=FEW)
    for name in model.matrices():
        blocks = [model.blocks(name, fmt) for fmt in formats]
        if name != EMBEDDING:
            assert blocks[0] is blocks[1] is blocks[2]
            assert np.array_equal(blocks[0].codes, plain.blocks(name, "gguf").codes)
            assert not np.array_equal(blocks[0].scales, plain.blocks(name, "gguf").scales)
    for name in model.vectors():
        assert np.any(model.floats(name) != plain.floats(name))
