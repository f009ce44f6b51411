"""A norm in one node, with the sum before it; what only looks like one stays."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from tiny_decoder import DECODER, decoder, tokens, traced
from tiny_graphs import operators, run, session, unchanged

from smolship.export.onnx.passes.fused_norms import fused_norms

GAIN = np.linspace(0.5, 2, 64, dtype=np.float32)
EPSILON = 0.25  # large enough to be missed
SUM, NO_SUM = "x = Add(a, b)", "x = Identity(a)"


def norm(before: str = SUM, *, exponent: float = 2, axis: int = -1) -> ir.Model:
    """A norm of a sum of `a` and `b`, or of `a`, spelled as Optimum does."""
    gain = ", ".join(map(str, GAIN))
    text = f"""
        <ir_version: 8, opset_import: ["" : 18]>
        norm (float[n, 64] a, float[n, 64] b) => (float[n, 64] y, float[n, 64] z)
        <float[64] gain = {{{gain}}}, float one = {{1.0}}, float power = {{{exponent}}}, float epsilon = {{{EPSILON}}},
         int64[1] axes = {{{axis}}}> {{
            {before}
            inside = Cast<to = 1>(x)
            square = Pow(inside, power)
            mean = ReduceMean<keepdims = 1>(square, axes)
            added = Add(mean, epsilon)
            root = Sqrt(added)
            inverse = Div(one, root)
            scaled = Mul(inside, inverse)
            outside = Cast<to = 1>(scaled)
            y = Mul(gain, outside)
            z = Mul(x, x)
        }}
    """
    return ir.from_onnx_text(text)


def by_numpy(x: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    return np.asarray(GAIN * wide / np.sqrt((wide**2).mean(-1, keepdims=True) + EPSILON))


@pytest.fixture
def rows() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    return {name: random.standard_normal((3, 64)).astype(np.float32) for name in "ab"}


def test_the_sum_before_a_norm_is_added_in_the_same_node_and_given_to_who_reads_it(
    rows: dict[str, NDArray[np.float32]],
) -> None:
    model, changed = fused_norms(norm())
    assert changed
    assert operators(model) == ["SkipSimplifiedLayerNormalization", "Mul"]
    y, z = session(model).run(None, rows)
    total = rows["a"] + rows["b"]
    np.testing.assert_allclose(y, by_numpy(total), atol=1e-6)
    np.testing.assert_array_equal(z, total * total)
    assert unchanged(fused_norms, model)


def test_a_norm_of_something_else_than_a_sum_is_one_node(rows: dict[str, NDArray[np.float32]]) -> None:
    model, changed = fused_norms(norm(NO_SUM))
    assert changed
    assert operators(model) == ["Identity", "SimplifiedLayerNormalization", "Mul"]
    np.testing.assert_allclose(run(model, **rows), by_numpy(rows["a"]), atol=1e-6)
    assert unchanged(fused_norms, model)


def test_a_sum_that_is_itself_an_output_stays_one(rows: dict[str, NDArray[np.float32]]) -> None:
    model = norm()
    model.graph.outputs.append(next(node for node in model.graph if node.op_type == "Add").outputs[0])
    total = session(fused_norms(model)[0]).run(["x"], rows)[0]
    np.testing.assert_array_equal(total, rows["a"] + rows["b"])


OTHERS: dict[str, Callable[[], ir.Model]] = {
    "another power": lambda: norm(exponent=3),
    "another axis": lambda: norm(axis=0),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_computes_something_else_stays(other: str) -> None:
    assert unchanged(fused_norms, OTHERS[other]())


def test_a_product_with_a_constant_that_is_no_norm_stays() -> None:
    gain = ", ".join(map(str, GAIN))
    model = ir.from_onnx_text(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        scaled (float[n, 64] x) => (float[n, 64] y) <float[64] gain = {{{gain}}}> {{
            root = Sqrt(x)
            y = Mul(gain, root)
        }}
    """)
    assert unchanged(fused_norms, model)


def test_another_cast_of_what_is_normed_stays(rows: dict[str, NDArray[np.float32]]) -> None:
    model = norm(NO_SUM)
    x = next(node for node in model.graph if node.op_type == "Identity").outputs[0]
    whole = ir.node("Cast", [x], {"to": ir.DataType.INT64})
    whole.outputs[0].name, whole.outputs[0].type = "whole", ir.TensorType(ir.DataType.INT64)
    model.graph.append(whole)
    model.graph.outputs.append(whole.outputs[0])
    fused = fused_norms(model)[0]
    np.testing.assert_array_equal(session(fused).run(["whole"], rows)[0], rows["a"].astype(np.int64))


def test_every_norm_of_a_decoder_is_fused_and_all_but_the_first_add() -> None:
    model, _ = fused_norms(traced())
    found = operators(model)
    assert found.count("SimplifiedLayerNormalization") == 1
    assert found.count("SkipSimplifiedLayerNormalization") == 2 * DECODER.layers
    assert not {"ReduceMean", "Pow", "Sqrt"} & set(found)
    assert unchanged(fused_norms, model)
    ids = tokens(12)
    np.testing.assert_allclose(decoder(model=model)(ids)[0], decoder()(ids)[0], atol=5e-5)
