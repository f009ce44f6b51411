"""Sensitivities of a whole model: every tensor and grid has one, they foretell what all together do, and they keep."""

import dataclasses

import pytest
import torch

from smolship.checkpoint import Checkpoint
from smolship.quantize.calibration import Calibration, prepare
from smolship.quantize.fit import choose, sizes_of
from smolship.quantize.fit import measured as module
from smolship.quantize.fit.measured import measured, rounds_of
from smolship.quantize.fit.sensitivity import Sensitivities
from smolship.quantize.fit.trials import Trials
from smolship.reference import Reference

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    generator = torch.Generator().manual_seed(0)
    return Calibration(torch.randint(0, 300, (8, 64), generator=generator))


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Checkpoint) -> Reference:
    return Reference.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def found(tiny_checkpoint: Checkpoint, reference: Reference, calibration: Calibration) -> Sensitivities:
    return measured(tiny_checkpoint, reference, calibration, "gguf")


def test_every_grid_of_every_tensor_has_a_cost(tiny_checkpoint: Checkpoint, found: Sensitivities) -> None:
    sizes = sizes_of(tiny_checkpoint.architecture, "gguf")
    assert {tensor: set(of) for tensor, of in found.costs.items()} == {tensor: set(of) for tensor, of in sizes.items()}
    for of_grids in found.costs.values():
        assert of_grids["q4_0"] > of_grids["q5_0"] > of_grids["int8-b32"] >= 0


def test_the_costs_foretell_the_divergence_of_all_tensors_together(
    tiny_checkpoint: Checkpoint, reference: Reference, calibration: Calibration, found: Sensitivities
) -> None:
    sizes = sizes_of(tiny_checkpoint.architecture, "gguf")
    low, high = (sum(of(grids.values()) for grids in sizes.values()) for of in (min, max))
    choice = choose(found.costs, sizes, (2 * low + high) // 3)
    assert len(set(choice.assignment.values())) > 1
    prepared = prepare(tiny_checkpoint, reference, calibration)
    weights = {name: torch.from_numpy(array) for name, array in prepared.weights.items()}
    rounds = rounds_of(weights, prepared.moments)
    trials = Trials(Reference(tiny_checkpoint.architecture, weights), calibration.sequences)
    together = trials.divergence({tensor: rounds(tensor, grid) for tensor, grid in choice.assignment.items()})
    assert choice.predicted == pytest.approx(together, rel=0.5)


def test_the_second_time_they_come_from_the_cache(
    tiny_checkpoint: Checkpoint, reference: Reference, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(tiny_checkpoint, reference, calibration, "executorch")
    monkeypatch.setattr(module, "prepare", None)  # whatever is computed needs it
    assert measured(tiny_checkpoint, reference, calibration, "executorch") == first
    other = dataclasses.replace(calibration, sequences=calibration.sequences + 1)
    with pytest.raises(TypeError):
        measured(tiny_checkpoint, reference, other, "executorch")
