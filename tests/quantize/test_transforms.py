"""Equivalent transformations: the same logits before and after, on a model whose query heads share KV heads."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from smolship.checkpoint import EMBEDDING, FINAL_NORM, Architecture, Checkpoint
from smolship.errors import InputError
from smolship.quantize.transforms import (
    TRANSFORMS,
    Statistics,
    Transform,
    Weights,
    random_scales,
    rescale,
    run,
    seams,
    transform_named,
)
from smolship.quantize.transforms.activation_scales import Search, activation_scales, weighted_square
from smolship.quantize.transforms.equalisation import levelling_scales
from smolship.quantize.transforms.migration import migration_scales
from smolship.quantize.transforms.permutation import reorder_inner
from smolship.quantize.transforms.rotation import hadamard, random_rotations, rotate_v_o
from smolship.quantize.transforms.table import nearest_round_trip
from smolship.reference import Reference

TEXT = "The cat and the hat are in the house, 1234 times over."
NOISE = 2e-4  # of float32, on logits of about 10


@pytest.fixture(scope="module")
def architecture(tiny_checkpoint: Checkpoint) -> Architecture:
    assert tiny_checkpoint.architecture.heads > tiny_checkpoint.architecture.kv_heads
    return tiny_checkpoint.architecture


@pytest.fixture(scope="module")
def weights(tiny_checkpoint: Checkpoint, architecture: Architecture) -> Weights:
    return {name: tiny_checkpoint.tensors.read(name) for name in architecture.shapes()}


class Watching(Reference):
    """A reference that keeps what each matrix reads."""

    inputs: dict[str, NDArray[np.float32]]

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        self.inputs[name] = x.numpy()
        return super().linear(x, name)


@pytest.fixture(scope="module")
def ids(tiny_checkpoint: Checkpoint) -> list[int]:
    return tiny_checkpoint.tokenizer.encode(TEXT)


@pytest.fixture(scope="module")
def statistics(architecture: Architecture, weights: Weights, ids: list[int]) -> Statistics:
    return watched(architecture, weights, ids)


def watched(architecture: Architecture, weights: Weights, ids: list[int]) -> Statistics:
    """Full second moments and peaks of one text."""
    model = Watching(architecture, {name: torch.from_numpy(weight) for name, weight in weights.items()})
    model.inputs = {}
    model.logits(ids)
    return Statistics(
        {name: x.T @ x / np.float32(len(x)) for name, x in model.inputs.items()},
        {name: np.abs(x).max(axis=0) for name, x in model.inputs.items()},
    )


def outlying(weights: Weights, architecture: Architecture) -> Weights:
    """The same model where three channels of each norm and each MLP come in forty times as large."""
    scales = {}
    for name, seam in seams(architecture).items():
        if seam.kind in ("norm", "up-down"):
            scales[name] = np.ones(seam.channels)
            scales[name][[1, 20, 40]] = 40
    return rescale(weights, architecture, scales)[0]


def logits(architecture: Architecture, weights: Weights, ids: list[int]) -> torch.Tensor:
    return Reference(architecture, {name: torch.from_numpy(weight) for name, weight in weights.items()}).logits(ids)


def assert_same_model(architecture: Architecture, before: Weights, after: Weights, ids: list[int]) -> None:
    expected, found = logits(architecture, before, ids), logits(architecture, after, ids)
    assert expected.std() > 1, "the tiny model answers nothing"
    assert (expected - found).abs().max() < NOISE


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "rotate-residual"])
def test_every_pass_keeps_the_model_and_changes_its_weights(
    name: str, architecture: Architecture, weights: Weights, ids: list[int]
) -> None:
    before = outlying(weights, architecture)
    originals = {tensor: weight.copy() for tensor, weight in before.items()}
    after, changed = run(transform_named(name), before, architecture, watched(architecture, before, ids))
    moved = {tensor for tensor in before if after[tensor] is not before[tensor]}
    assert changed
    assert any(np.abs(after[tensor] - before[tensor]).max() > 0.01 for tensor in moved)
    assert not moved & {EMBEDDING, FINAL_NORM}
    assert {weight.dtype for weight in after.values()} == {np.dtype(np.float32)}
    assert_same_model(architecture, before, after, ids)
    assert all(np.array_equal(before[tensor], originals[tensor]) for tensor in before), "the pass is not pure"


@pytest.mark.parametrize("name", ["fold-gains", "reorder-inner"])
def test_a_pass_with_nothing_left_to_do_says_so(name: str, architecture: Architecture, weights: Weights) -> None:
    once, _ = run(transform_named(name), weights, architecture)
    twice, changed = run(transform_named(name), once, architecture)
    assert not changed
    assert all(twice[tensor] is once[tensor] for tensor in once)


def test_scales_of_one_and_rotations_by_nothing_change_nothing(architecture: Architecture, weights: Weights) -> None:
    ones = {name: np.ones(seam.channels) for name, seam in seams(architecture).items()}
    still = np.broadcast_to(np.eye(architecture.head_dim), random_rotations(architecture, 0).shape)
    plain = np.tile(np.arange(architecture.intermediate), (architecture.layers, 1))
    for after, changed in (
        rescale(weights, architecture, ones),
        rescale(weights, architecture, {}),
        rotate_v_o(weights, architecture, still),
        reorder_inner(weights, architecture, plain),
    ):
        assert not changed
        assert all(after[tensor] is weights[tensor] for tensor in weights)


def test_random_scales_at_every_seam_keep_the_model(
    architecture: Architecture, weights: Weights, ids: list[int]
) -> None:
    kinds = ("norm", "v-o", "up-down", "q-k")
    scales = random_scales(architecture, seed=1, sigma=0.5, kinds=kinds)
    assert set(scales) == set(seams(architecture))
    after, changed = rescale(weights, architecture, scales)
    assert changed
    gains = {name for name, shape in architecture.shapes().items() if len(shape) == 1}
    assert {name for name in weights if np.array_equal(after[name], weights[name])} == {EMBEDDING, FINAL_NORM}
    assert len(gains) == 2 * architecture.layers + 1
    assert_same_model(architecture, weights, after, ids)


def test_negative_scales_are_scales_too(architecture: Architecture, weights: Weights, ids: list[int]) -> None:
    scales = {name: -scale for name, scale in random_scales(architecture, seed=2, sigma=0.1).items()}
    assert_same_model(architecture, weights, rescale(weights, architecture, scales)[0], ids)


def test_query_heads_of_a_kv_head_share_its_channels(architecture: Architecture) -> None:
    a = architecture
    seam = seams(a)["model.layers.0.self_attn.v_o"]
    assert seam.channels == a.kv_heads * a.head_dim
    columns = seam.divided[0].channel.reshape(a.kv_heads, a.heads // a.kv_heads, a.head_dim)
    assert np.array_equal(columns[:, 0], columns[:, 1])
    assert len(np.unique(columns)) == seam.channels


def test_the_same_seed_gives_the_same_scales(architecture: Architecture) -> None:
    one, other, third = (random_scales(architecture, seed, 0.1) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not any(np.array_equal(one[name], third[name]) for name in one)


def test_folding_makes_every_gain_one_but_the_final(architecture: Architecture, weights: Weights) -> None:
    after, _ = run(transform_named("fold-gains"), weights, architecture)
    for name, shape in architecture.shapes().items():
        if len(shape) == 1:
            assert np.all(after[name] == 1) == (name != FINAL_NORM)


def test_a_gain_of_zero_is_left_alone(architecture: Architecture, weights: Weights, ids: list[int]) -> None:
    name = "model.layers.0.input_layernorm.weight"
    gain = weights[name].copy()
    gain[3] = 0
    holed = {**weights, name: gain}
    for chosen in ("fold-gains", "level-norm"):
        after, _ = run(transform_named(chosen), holed, architecture)
        assert after[name][3] == 0
        assert_same_model(architecture, holed, after, ids)


def test_levelled_columns_have_one_size(architecture: Architecture, weights: Weights) -> None:
    scales = levelling_scales(weights, architecture, "up-down", share=1.0)
    after, _ = rescale(weights, architecture, scales)
    for layer in range(architecture.layers):
        sizes = np.linalg.norm(after[f"model.layers.{layer}.mlp.down_proj.weight"], axis=0)
        assert sizes.max() / sizes.min() < 1.0001


def output_error(architecture: Architecture, weights: Weights, ids: list[int]) -> float:
    """What rounding to int4-b32 does to the outputs of all matrices together, relative."""
    statistics, round_trip, total = watched(architecture, weights, ids), nearest_round_trip("int4-b32"), 0.0
    for name, shape in architecture.shapes().items():
        if len(shape) == 2 and name != EMBEDDING:
            moment = statistics.second_moment(name)
            error = round_trip(name, weights[name]) - weights[name]
            total += weighted_square(error, moment) / weighted_square(weights[name], moment)
    return total


@pytest.mark.parametrize("full", [True, False])
def test_searched_scales_lower_the_output_error_where_channels_stand_out(
    full: bool, architecture: Architecture, weights: Weights, ids: list[int]
) -> None:
    before = outlying(weights, architecture)
    statistics = watched(architecture, before, ids)
    if not full:
        statistics = Statistics({name: statistics.mean_square(name) for name in statistics.second_moments})
    search = Search(nearest_round_trip("int4-b32"), exponents=((0.5, 0.0), (1.0, 0.0)))
    after, _ = rescale(before, architecture, activation_scales(before, architecture, statistics, search))
    assert output_error(architecture, after, ids) < 0.8 * output_error(architecture, before, ids)


def test_a_search_that_finds_nothing_better_leaves_the_seam(
    architecture: Architecture, weights: Weights, statistics: Statistics
) -> None:
    nothing_to_gain = Search(lambda _, weight: weight, exponents=((0.0, 0.0),))
    assert activation_scales(weights, architecture, statistics, nothing_to_gain) == {}


def test_migration_brings_the_peaks_of_activations_down(
    architecture: Architecture, weights: Weights, ids: list[int]
) -> None:
    before = outlying(weights, architecture)
    statistics = watched(architecture, before, ids)
    scales = migration_scales(before, architecture, statistics, alpha=0.5)
    after = watched(architecture, rescale(before, architecture, scales)[0], ids)
    for seam in seams(architecture).values():
        for side in (side for side in seam.divided if seam.kind in ("norm", "up-down")):
            old, new = (peaks.peak(side.tensor) for peaks in (statistics, after))
            assert new.max() / np.median(new) < 0.5 * old.max() / np.median(old)


def test_statistics_follow_a_rescaling(
    architecture: Architecture, weights: Weights, statistics: Statistics, ids: list[int]
) -> None:
    scales = random_scales(architecture, seed=3, sigma=0.3)
    predicted = statistics.rescaled(architecture, scales)
    seen = watched(architecture, rescale(weights, architecture, scales)[0], ids)
    for name in seen.peaks:
        np.testing.assert_allclose(predicted.peak(name), seen.peak(name), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(predicted.mean_square(name), seen.mean_square(name), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(predicted.second_moment(name), seen.second_moment(name), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("size", [2, 16, 64])
def test_hadamard_matrices_are_orthogonal_and_flat(size: int) -> None:
    matrix = hadamard(size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    np.testing.assert_allclose(np.abs(matrix), size**-0.5)


def test_the_final_norm_is_no_seam(architecture: Architecture, weights: Weights) -> None:
    with pytest.raises(InputError, match="head is the embedding"):
        rescale(weights, architecture, {"model.norm": np.full(architecture.hidden, 2.0)})


def test_the_residual_stream_is_not_rotated(architecture: Architecture, weights: Weights) -> None:
    with pytest.raises(InputError, match="a tied head is the embedding"):
        run(transform_named("rotate-residual"), weights, architecture)


@pytest.mark.parametrize("tensor", [EMBEDDING, FINAL_NORM, "lm_head.weight"])
def test_a_pass_that_would_untie_the_embedding_is_refused(
    tensor: str, architecture: Architecture, weights: Weights
) -> None:
    def untie(weights: Weights, _: Architecture, __: Statistics) -> tuple[Weights, bool]:
        return {**weights, tensor: 2 * weights.get(tensor, weights[EMBEDDING])}, True

    with pytest.raises(InputError, match=rf"(?s)pass untie .*{tensor}.*leave the pass out"):
        run(Transform("untie", (), "", untie), weights, architecture)


def test_bad_scales_rotations_orders_and_names_are_refused(architecture: Architecture, weights: Weights) -> None:
    name = next(iter(seams(architecture)))
    hidden = architecture.hidden
    for scales, message in (
        ({name: np.ones(hidden - 1)}, "wanted"),
        ({name: np.zeros(hidden)}, "zero"),
        ({name: np.full(hidden, np.nan)}, "not finite"),
        ({"model.layers.0.nothing": np.ones(hidden)}, "unknown seam"),
    ):
        with pytest.raises(InputError, match=message):
            rescale(weights, architecture, scales)
    with pytest.raises(InputError, match="orthogonal"):
        rotate_v_o(weights, architecture, 2 * random_rotations(architecture, 0))
    with pytest.raises(InputError, match="one a KV head"):
        rotate_v_o(weights, architecture, np.eye(architecture.head_dim)[None, None])
    with pytest.raises(InputError, match="permutations"):
        reorder_inner(weights, architecture, np.zeros((architecture.layers, architecture.intermediate), np.intp))
    with pytest.raises(InputError, match=r"unknown transformation 'spin'.*fold-gains"):
        transform_named("spin")


def test_missing_statistics_are_asked_for(architecture: Architecture, weights: Weights) -> None:
    for name in (transform.name for transform in TRANSFORMS.values() if transform.needs):
        with pytest.raises(InputError, match="collect them"):
            run(transform_named(name), weights, architecture)
