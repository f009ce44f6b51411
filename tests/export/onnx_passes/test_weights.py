"""Stand-ins become operators over weights: the blocks that ship, or the checkpoint's own floats."""

import numpy as np
import onnx_ir as ir
import pytest
from tiny_graphs import PLAIN, TIED, blocks, run, unchanged

from smolship.checkpoint import EMBEDDING
from smolship.export.onnx.packing import GRID_BITS
from smolship.export.onnx.passes import run_passes
from smolship.export.onnx.passes.float_weights import float_weights
from smolship.export.onnx.passes.norm_gains import norm_gains
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import quantized_linear

IDS = np.array([[0, 95, 7], [7, 7, 31]], np.int64)


@pytest.mark.parametrize("grid", GRID_BITS)
def test_the_tied_matrix_is_gathered_and_multiplied_from_one_initializer(grid: str) -> None:
    tied = blocks(grid)
    w = tied.dequantize()
    model = ir.from_onnx_text(TIED)
    model = run_passes(model, (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied, 0)))
    want = (w[IDS] ** 2) @ w.T
    np.testing.assert_allclose(run(model, ids=IDS), want, atol=1e-5 * np.abs(want).max())
    stored = [name for name, v in model.graph.initializers.items() if v.const_value and v.const_value.size > 8]
    parts = [".codes", ".scales", *([".zero_points"] if tied.minimums is not None else [])]
    assert sorted(stored) == [EMBEDDING + part for part in parts]


def test_rows_with_an_odd_number_of_groups_have_zero_points_of_their_own() -> None:
    tied = blocks("uint4-b32", row=96)
    w = tied.dequantize()
    steps = (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied, 0))
    ids = np.array([[0, 95, 7]], np.int64)
    want = (w[ids] ** 2) @ w.T
    got = run(run_passes(ir.from_onnx_text(TIED), steps), ids=ids)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_the_accuracy_level_is_the_one_that_is_asked_for() -> None:
    for level in (0, 4):
        model, _ = quantized_linear(lambda _: blocks("int4-b32"), level)(ir.from_onnx_text(TIED))
        (matmul,) = (node for node in model.graph if node.op_type == "MatMulNBits")
        assert matmul.attributes["accuracy_level"].as_int() == level


@pytest.mark.parametrize("parts", [("w",), ("w", "v")], ids=["one", "joined"])
def test_float_weights_are_gathered_and_multiplied(parts: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((96, 64)).astype(np.float32) for name in (EMBEDDING, *parts)}
    model = ir.from_onnx_text(TIED.replace(f'Linear<name = "{EMBEDDING}">', f'Linear<name = "{"+".join(parts)}">'))
    model, changed = float_weights(weights.__getitem__)(model)
    assert changed
    assert sorted(model.graph.initializers) == sorted([EMBEDDING, f"{'+'.join(parts)}.columns"])
    want = weights[EMBEDDING][IDS] ** 2 @ np.concatenate([weights[name] for name in parts]).T
    np.testing.assert_allclose(run(model, ids=IDS), want, atol=1e-5 * np.abs(want).max())


def test_a_norm_gets_its_gain() -> None:
    zeros = ", ".join("0" * 64)
    text = PLAIN.replace("Mul(x, x)", "Mul(x, gain)").replace("y) {", f"y) <float[64] gain = {{{zeros}}}> {{")
    model = ir.from_onnx_text(text)
    gain = np.arange(64, dtype=np.float32)
    step = norm_gains(("gain",), lambda _: gain)
    model, changed = step(model)
    assert changed
    np.testing.assert_array_equal(run(model, x=np.ones((1, 64), np.float32))[0], gain)
    assert unchanged(step, model)
    with pytest.raises(KeyError, match=r"model\.norm\.weight"):
        norm_gains(("model.norm.weight",), lambda _: gain)(model)


@pytest.mark.parametrize("grid", ["int4-b32", "uint4-b32"])
def test_nothing_is_done_twice_or_where_no_stand_in_is(grid: str) -> None:
    tied = blocks(grid)
    done = (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied))
    model = run_passes(ir.from_onnx_text(TIED), done)
    for step in (*done, float_weights(lambda _: tied.dequantize())):
        assert unchanged(step, model)
        assert unchanged(step, ir.from_onnx_text(PLAIN))
    assert unchanged(norm_gains((), lambda _: np.ones(64, np.float32)), ir.from_onnx_text(PLAIN))
