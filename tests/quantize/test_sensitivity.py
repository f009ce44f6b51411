"""Sensitivities: measured ones are the model's own divergence, estimates the quadratic form, ratios join the two."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING, FINAL_NORM, Checkpoint
from smolship.errors import SmolshipError
from smolship.quantize.fit.sensitivity import corrected, kind_of, sensitivities
from smolship.quantize.fit.trials import Trials
from smolship.reference import Reference

UP = "model.layers.1.mlp.up_proj.weight"
DOWN = "model.layers.0.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def trials(tiny_checkpoint: Checkpoint) -> Trials:
    windows = torch.from_numpy(np.random.default_rng(0).integers(0, 300, (3, 24)))
    return Trials(Reference.from_checkpoint(tiny_checkpoint), windows)


def noisy(weight: Tensor, scale: float) -> Tensor:
    return weight + scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("names", [(UP,), (DOWN,), (EMBEDDING,), (FINAL_NORM,), (UP, DOWN, EMBEDDING)])
def test_a_divergence_is_that_of_the_whole_model_run_anew(trials: Trials, names: tuple[str, ...]) -> None:
    reference, windows = trials.reference, trials.windows
    changed = {name: noisy(reference.weights[name], 0.02) for name in names}
    model = Reference(reference.architecture, {**reference.weights, **changed})
    p, q = (torch.stack([one.logits(w) for w in windows]).double().log_softmax(-1) for one in (reference, model))
    wanted = float((p.exp() * (p - q)).sum(-1).mean())
    assert trials.divergence(changed) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert wanted > 1e-5


def test_the_reference_does_not_diverge_from_itself(trials: Trials) -> None:
    assert trials.divergence({}) < 1e-6
    assert trials.divergence({UP: trials.reference.weights[UP]}) < 1e-6


def test_a_tensor_s_measured_divergence_corrects_all_its_estimates(trials: Trials) -> None:
    weights = trials.reference.weights
    steps = {"coarse": 0.05, "fine": 0.01}
    seen: list[str] = []

    def measure(tensor: str) -> bool:
        seen.append(tensor)
        return tensor != DOWN

    moments = {name: 0.001 * torch.eye(weights[name].shape[1]) for name in (UP, DOWN)}
    found = sensitivities(
        trials,
        moments,
        dict.fromkeys(moments, ("coarse", "fine")),
        lambda tensor, grid: noisy(weights[tensor], steps[grid]),
        measure,
    )
    assert seen == [UP, DOWN]
    assert found.costs[UP]["coarse"] == pytest.approx(trials.divergence({UP: noisy(weights[UP], 0.05)}))
    assert found.ratios[DOWN] == found.ratios[UP]  # nothing of its own kind was measured
    for name in moments:
        assert found.costs[name]["coarse"] / found.costs[name]["fine"] == pytest.approx(25, rel=1e-3)
        assert found.costs[name]["fine"] == found.estimates[name]["fine"] * found.ratios[name]


def test_what_was_not_measured_takes_the_median_of_its_kind() -> None:
    names = [f"model.layers.{layer}.mlp.{kind}_proj.weight" for layer in range(4) for kind in ("up", "down")]
    estimates = {name: {"g": 1.0} for name in [*names, EMBEDDING]}
    ratios = {names[0]: 1.0, names[2]: 2.0, names[4]: 9.0, names[1]: 5.0}
    found = corrected(estimates, ratios)
    assert found.ratios[names[6]] == 2.0
    assert found.ratios[names[7]] == 5.0
    assert found.ratios[EMBEDDING] == 3.5
    assert found.costs[names[4]] == {"g": 9.0}
    assert kind_of(names[0]) == kind_of(names[6]) == "mlp.up_proj.weight"
    assert corrected(estimates, {}).costs == estimates


def test_an_estimate_that_is_not_finite_names_its_tensor(trials: Trials) -> None:
    broken = {UP: torch.full((64, 64), math.nan)}
    rounds = trials.reference.weights[UP] + 1
    with pytest.raises(SmolshipError, match=r"layers\.1\.mlp\.up_proj\.weight: its estimated divergence on g is nan"):
        sensitivities(trials, broken, {UP: ("g",)}, lambda *_: rounds)
