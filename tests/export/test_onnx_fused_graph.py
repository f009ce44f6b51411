"""The whole fused graph over float32 weights against Optimum's own export of the same checkpoint."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from other_tools import exported_by_optimum
from tiny_decoder import Cache, Decoder, padded
from tiny_graphs import operators, session, unchanged

from smolship.checkpoint import Checkpoint
from smolship.export.onnx.graph import float_graph, fusing_passes

LARGEST, MEAN = 1e-4, 1e-5
NODES_A_LAYER = 10
POSITIONS = 8192


@pytest.fixture(scope="module")
def optimum(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder = exported_by_optimum(tiny_folder, tmp_path_factory.mktemp("optimum") / "tiny")
    return Decoder(session(str(folder / "model.onnx")))


@pytest.fixture(scope="module")
def graph(tiny_checkpoint: Checkpoint) -> ir.Model:
    return float_graph(tiny_checkpoint)


@pytest.fixture(scope="module")
def every(graph: ir.Model) -> Decoder:
    return Decoder(session(graph, every=True))


@pytest.fixture(scope="module")
def last(graph: ir.Model) -> Decoder:
    return Decoder(session(graph))


@pytest.fixture
def ids() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(17, 320, (1, 128))


def assert_same(got: NDArray[np.float32], want: NDArray[np.float32]) -> None:
    difference = np.abs(got.astype(np.float64) - want)
    assert (difference.max() <= LARGEST, difference.mean() <= MEAN) == (True, True), difference.max()


def test_a_layer_is_ten_nodes(graph: ir.Model, tiny_checkpoint: Checkpoint) -> None:
    layers = tiny_checkpoint.architecture.layers
    parts = [str(node.name).replace("/layers/", "/layers.").split("/") for node in graph.graph]
    of_layer = Counter(part for names in parts for part in names if part.startswith("layers."))
    assert of_layer == {f"layers.{i}": NODES_A_LAYER for i in range(layers)}
    assert len(operators(graph)) <= NODES_A_LAYER * layers + 35


def test_fusing_again_changes_nothing(graph: ir.Model, tiny_checkpoint: Checkpoint) -> None:
    assert all(unchanged(step, graph) for step in fusing_passes(tiny_checkpoint.architecture, lambda _: None))


def test_every_logit_of_a_text_in_one_go(optimum: Decoder, every: Decoder, ids: NDArray[np.int64]) -> None:
    want, past = optimum(ids)
    got, own = every(ids)
    assert_same(got, want)
    for one, other in zip(own, past, strict=True):
        assert_same(one, other)


def test_the_last_logits_are_the_last_of_all(every: Decoder, last: Decoder, ids: NDArray[np.int64]) -> None:
    np.testing.assert_allclose(last(ids)[0], every(ids)[0][:, -1:], atol=1e-5)  # one row and many: other kernels


def in_calls(decoder: Decoder, ids: NDArray[np.int64], positions: NDArray[np.int64], first: int) -> NDArray[np.float32]:
    """The last logits of a prompt of `first` tokens and of each token after it: [calls, vocabulary]."""
    past: Cache = ()
    found, start = [], 0
    for end in range(first, ids.shape[1] + 1):
        logits, past = decoder(ids[:, start:end], positions=positions[:, start:end], past=past)
        found.append(logits[0, -1])
        start = end
    return np.array(found)


@pytest.mark.parametrize("first", [1, 64])
def test_step_by_step_with_a_cache(optimum: Decoder, last: Decoder, ids: NDArray[np.int64], first: int) -> None:
    positions = np.arange(ids.shape[1])[None]
    assert_same(in_calls(last, ids, positions, first), in_calls(optimum, ids, positions, first))


def test_a_text_that_begins_further_on(optimum: Decoder, last: Decoder, ids: NDArray[np.int64]) -> None:
    positions = 100 + np.arange(ids.shape[1])[None]
    assert_same(in_calls(last, ids, positions, 96), in_calls(optimum, ids, positions, 96))


def test_a_batch_padded_on_the_left(optimum: Decoder, every: Decoder) -> None:
    random = np.random.default_rng(2)
    rows = [random.integers(17, 320, length).tolist() for length in (64, 9, 33)]
    batch, mask = padded(rows)
    want, _ = optimum(batch, mask=mask)
    got, _ = every(batch, mask=mask)
    assert_same(got[mask == 1], want[mask == 1])
