"""A head of its own in all that calibration computes: with the embedding's numbers it is half of the tied matrix."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smolship.checkpoint import EMBEDDING, HEAD, Checkpoint
from smolship.quantize import RECIPES, SAMPLED, Blocks, QuantizedModel
from smolship.quantize.calibration import Calibration
from smolship.quantize.calibration.curvature import measure
from smolship.quantize.calibration.sampling import Opening, sample
from smolship.quantize.distillation.student import Student
from smolship.quantize.distillation.training import Tuning, _backward, train
from smolship.quantize.divergence import Watch
from smolship.quantize.fit.trials import Trials
from smolship.quantize.foresight import foresee
from smolship.quantize.grids import grid_named
from smolship.quantize.rounding import NearestRounding
from smolship.quantize.solution import Solution
from smolship.quantize.transforms import TRANSFORMS, run
from smolship.reference import Reference

WINDOWS = torch.from_numpy(np.random.default_rng(0).integers(0, 300, (3, 24)))


@pytest.fixture(scope="module")
def tied(tiny_checkpoint: Checkpoint) -> Reference:
    return Reference.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def twin(tied: Reference) -> Reference:
    """The same model, its matrix stored for each use."""
    return Reference(replace(tied.architecture, tied=False), {**tied.weights, HEAD: tied.weights[EMBEDDING].clone()})


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration(torch.randint(3, 300, (8, 128), generator=torch.Generator().manual_seed(2)))


def test_it_writes_and_says_the_same(tied: Reference, twin: Reference) -> None:
    assert torch.equal(twin.logits(WINDOWS), tied.logits(WINDOWS))
    begun = [Opening((5, 9), 1.0), Opening((40,), 0.8)]
    assert torch.equal(sample(twin, begun, 24, 0, torch.float32), sample(tied, begun, 24, 0, torch.float32))
    louder = {**twin.weights, HEAD: 1.1 * twin.weights[HEAD]}
    (one,) = Watch({"own": WINDOWS}).compare(twin, louder)
    p, q = (Reference(twin.architecture, w).logits(WINDOWS).log_softmax(-1) for w in (twin.weights, louder))
    assert one.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-3)


def test_the_tied_curvature_is_the_sum_of_both(tied: Reference, twin: Reference, calibration: Calibration) -> None:
    whole, apart = measure(tied, calibration), measure(twin, calibration)
    assert apart.keys() == whole.keys() | {HEAD}
    assert torch.allclose(apart[EMBEDDING] + apart[HEAD], whole[EMBEDDING], rtol=1e-3, atol=1e-6)
    assert all(float(apart[name].diagonal().min()) > 0 for name in (EMBEDDING, HEAD))
    assert all(torch.equal(apart[name], whole[name]) for name in whole if name != EMBEDDING)


@pytest.mark.parametrize("names", [(EMBEDDING,), (HEAD,), (EMBEDDING, HEAD)])
def test_a_divergence_is_that_of_the_whole_model_run_anew(twin: Reference, names: tuple[str, ...]) -> None:
    random = torch.Generator().manual_seed(1)
    changed = {n: w + 0.02 * torch.randn(w.shape, generator=random) for n, w in twin.weights.items() if n in names}
    model = Reference(twin.architecture, {**twin.weights, **changed})
    p, q = (one.logits(WINDOWS).double().log_softmax(-1) for one in (twin, model))
    wanted = float((p.exp() * (p - q)).sum(-1).mean())
    assert Trials(twin, WINDOWS).divergence(changed) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert wanted > 1e-5


def rounded(reference: Reference) -> dict[str, Blocks]:
    """All matrices to nearest in 4 bits."""
    matrices = {name: w.numpy() for name, w in reference.weights.items() if w.ndim == 2}
    return {name: NearestRounding().round(name, w, grid_named("int4-b32")) for name, w in matrices.items()}


def test_the_tied_matrix_s_gradient_is_the_sum_of_both(
    tied: Reference, twin: Reference, calibration: Calibration
) -> None:
    found = []
    for reference in (tied, twin):
        blocks = rounded(reference)
        student = Student(reference.architecture, Solution(blocks), reference.weights, torch.float32)
        _backward(student, reference, calibration.sequences[:2], torch.float32)
        assert student.logs.grad is not None
        sizes = [each.scales.size for each in blocks.values()]
        found.append(dict(zip(blocks, student.logs.grad[: sum(sizes)].split(sizes), strict=True)))
    whole, apart = found
    assert torch.allclose(apart[EMBEDDING] + apart[HEAD], whole[EMBEDDING], rtol=1e-3, atol=1e-7)
    assert all(float(apart[name].abs().sum()) > 0 for name in (EMBEDDING, HEAD))
    assert all(torch.allclose(apart[name], whole[name], rtol=1e-3, atol=1e-7) for name in whole if name != EMBEDDING)


def test_training_in_half_precision_moves_the_head_s_scales(
    twin: Reference, calibration: Calibration, tmp_path: Path
) -> None:
    blocks = rounded(twin)
    student = Student(twin.architecture, Solution(blocks), twin.weights, torch.bfloat16)
    halves = Calibration(calibration.sequences, torch.bfloat16)
    train(student, twin, halves, Tuning(steps=2, tokens=256, rate=0.05), tmp_path / "state")
    moved = student.solution().blocks
    assert all(np.any(moved[name].scales != blocks[name].scales) for name in (EMBEDDING, HEAD))


@pytest.mark.parametrize("recipe", ["q8", "q4-e8", "q4"])
def test_the_head_has_the_embedding_s_width(tiny_checkpoint: Checkpoint, recipe: str) -> None:
    untied = replace(tiny_checkpoint, architecture=replace(tiny_checkpoint.architecture, tied=False))
    model = QuantizedModel(untied, RECIPES[recipe])
    for fmt in ("gguf", "onnx", "executorch"):
        assert model.grid(HEAD, fmt) == model.grid(EMBEDDING, fmt)


def test_calibration_is_foreseen_to_take_a_little_more(
    tied: Reference, twin: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smolship.quantize.foresight.speed", lambda: 1e11)
    one, two = (foresee(each.architecture, SAMPLED, distils=False) for each in (tied, twin))
    assert one.seconds < two.seconds < 1.2 * one.seconds  # one more moment: the products are the same
    assert one.memory < two.memory


@pytest.mark.parametrize("name", ["fold-gains", "level-v-o", "rotate-v-o", "reorder-inner"])
def test_a_pass_leaves_the_head_alone(twin: Reference, name: str) -> None:
    weights = {tensor: w.numpy() for tensor, w in twin.weights.items()}
    after, changed = run(TRANSFORMS[name], weights, twin.architecture)
    assert changed
    assert after[HEAD] is weights[HEAD]
    moved = {tensor: torch.from_numpy(np.ascontiguousarray(w)) for tensor, w in after.items()}
    wanted = twin.logits(WINDOWS)
    assert (Reference(twin.architecture, moved).logits(WINDOWS) - wanted).abs().max() < 1e-3 * wanted.abs().max()
