"""Calibrated and distilled codes on the tiny model: better than rounding to nearest, the same every time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.errors import InputError
from smolship.quantize import Calibrating, quantize
from smolship.quantize.calibration.curvature import divergence
from smolship.quantize.descent import calibrated, calibrated_together, damped, descend, nearest
from smolship.quantize.grids import GRIDS, encode_with, fit, grid_named
from smolship.quantize.rounding import NearestRounding
from smolship.text_file import read_text_file

pytestmark = pytest.mark.slow

FEW = Calibrating(at_most=8)


def correlated(row: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4 * row, row // 4, generator=generator) @ torch.randn(row // 4, row, generator=generator)
    x += 0.3 * torch.randn(x.shape, generator=generator)
    return x.T @ x / len(x)


@pytest.mark.parametrize("grid", [name for name, grid in GRIDS.items() if grid.bits < 8])
def test_descent_has_a_much_smaller_output_error_than_nearest_on_every_grid(grid: str) -> None:
    weight = 0.1 * torch.randn(24, 512, generator=torch.Generator().manual_seed(1))
    moment = correlated(512)
    found = torch.from_numpy(calibrated("w", weight, grid, moment).dequantize())
    plain = torch.from_numpy(NearestRounding().round("w", weight.numpy(), grid_named(grid)).dequantize())
    assert divergence(found - weight, moment) < 0.6 * divergence(plain - weight, moment)


@pytest.mark.parametrize("grid", [name for name, grid in GRIDS.items() if grid.bits < 8])
def test_no_pass_of_descent_raises_what_it_descends_on(grid: str) -> None:
    weight = 0.1 * torch.randn(16, 256, generator=torch.Generator().manual_seed(3))
    moment = correlated(256)
    curvature = damped(moment, 0.3)
    blocks = NearestRounding().round("w", weight.numpy(), grid_named(grid))
    errors = []
    for _ in range(4):
        errors.append(divergence(torch.from_numpy(blocks.dequantize()) - weight, curvature))
        (blocks,) = descend([blocks], weight[None], moment[None], (0.3,))
    assert errors[0] > errors[1] >= errors[2] >= errors[3]


@pytest.mark.parametrize("grid", ["int4-b32", "iq4_nl", "q4_1", "q4_k"])
def test_weights_rounded_together_get_the_codes_that_each_gets_alone(grid: str) -> None:
    weights = 0.1 * torch.randn(3, 16, 256, generator=torch.Generator().manual_seed(5))
    moments = torch.stack([correlated(256, seed) for seed in range(3)])
    together = calibrated_together(["a", "b", "c"], weights, grid, moments)
    for found, weight, moment in zip(together, weights, moments, strict=True):
        alone = calibrated("w", weight, grid, moment)
        assert (found.codes != alone.codes).mean() < 0.01  # sums are taken in another order
        assert np.allclose(found.scales, alone.scales, rtol=0.02)


def test_without_correlation_descent_leaves_codes_at_their_nearest() -> None:
    weight = 0.1 * torch.randn(8, 64, generator=torch.Generator().manual_seed(2))
    blocks = calibrated("w", weight, "int4-b32", torch.eye(64))
    scales = torch.from_numpy(blocks.scales).repeat_interleave(32, 1)
    again = nearest(weight, scales, None, grid_named("int4-b32"))
    assert (again.numpy() != blocks.codes).mean() < 0.01  # the scale moves last


def test_what_was_never_read_is_rounded_to_nearest() -> None:
    weight = 0.1 * torch.randn(8, 64, generator=torch.Generator().manual_seed(2))
    plain = NearestRounding().round("w", weight.numpy(), grid_named("q4_1"))
    assert calibrated("w", weight, "q4_1", torch.zeros(64, 64)).same_as(plain)


@pytest.mark.parametrize("grid", sorted(GRIDS))
def test_nearest_in_torch_is_nearest_in_numpy(grid: str) -> None:
    weight = np.random.default_rng(4).normal(0, 0.1, (16, 512)).astype(np.float32)
    scaling = fit(weight, grid_named(grid))
    expand = weight.shape[1] // scaling.scales.shape[1]
    scales = torch.from_numpy(scaling.scales).repeat_interleave(expand, 1)
    minimums = None if scaling.minimums is None else torch.from_numpy(scaling.minimums).repeat_interleave(expand, 1)
    mine = nearest(torch.from_numpy(weight), scales, minimums, grid_named(grid)).numpy()
    assert (mine != encode_with(weight, scaling)).mean() < 1e-3  # a division and a product differ on ties alone


def test_calibrated_codes_are_the_same_again_and_come_from_the_cache(tiny_checkpoint: Checkpoint) -> None:
    once = quantize(tiny_checkpoint, "q4-calibrated", ("gguf", "onnx"), calibrating=FEW)
    again = quantize(tiny_checkpoint, "q4-calibrated", ("gguf",), calibrating=FEW)
    for name in once.matrices():
        assert once.blocks(name, "gguf") is once.blocks(name, "onnx")
        assert once.blocks(name, "gguf").same_as(again.blocks(name, "gguf"))
        assert once.coverage("gguf")


def test_the_embedding_of_e8_stays_as_rounding_to_nearest_has_it(tiny_checkpoint: Checkpoint) -> None:
    calibrated = quantize(tiny_checkpoint, "q4-e8-calibrated", ("gguf",), calibrating=FEW)
    plain = quantize(tiny_checkpoint, "q4-e8", ("gguf",))
    assert calibrated.blocks(EMBEDDING, "gguf").same_as(plain.blocks(EMBEDDING, "gguf"))


def test_stages_say_how_far_the_model_is_and_moving_scales_changes_nothing(tiny_checkpoint: Checkpoint) -> None:
    watch = {"own": [list(range(3, 35))]}
    model = quantize(tiny_checkpoint, "q4-calibrated", ("gguf",), calibrating=Calibrating(at_most=8, watch=watch))
    moved, rounded = model.solution.stages
    assert (moved.name, rounded.name) == ("scales moved", "rounded")
    assert moved.divergences[0].kl < 1e-5 < rounded.divergences[0].kl
    assert set(model.solution.blocks) == set(model.matrices())
    assert all(0 < errors.output < 1 for errors in model.solution.errors.values())


def test_a_damaged_cache_is_not_believed(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOLSHIP_CACHE", str(tmp_path))
    first = quantize(tiny_checkpoint, "q4-calibrated", ("gguf",), calibrating=FEW)
    for file in tmp_path.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    again = quantize(tiny_checkpoint, "q4-calibrated", ("gguf",), calibrating=FEW)
    assert all(first.blocks(name, "gguf").same_as(again.blocks(name, "gguf")) for name in first.matrices())


def test_a_calibration_text_that_is_too_short_says_what_is_wanted(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("Too little.")
    with pytest.raises(InputError, match="wanted at least"):
        quantize(tiny_checkpoint, "q4-calibrated", ("gguf",), calibrating=Calibrating(read_text_file(text, "")))
