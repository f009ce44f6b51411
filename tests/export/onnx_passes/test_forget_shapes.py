"""Sizes that the tracer made up are gone, so that ONNX Runtime infers one size for one thing."""

import onnx_ir as ir
import onnxruntime
import pytest
from tiny_graphs import PLAIN

from smolship.export.onnx.passes.forget_shapes import forget_shapes


def in_between(size: str) -> ir.Model:
    """x² · x by way of a value of that size."""
    return ir.from_onnx_text(PLAIN.replace("{ y = Mul(x, x) }", f"<float[{size}] z> {{ z = Mul(x, x) y = Mul(z, x) }}"))


def test_a_dimension_that_no_input_has_is_forgotten_and_the_ends_stay() -> None:
    model, changed = forget_shapes(in_between("made_up, 64"))
    assert changed
    assert model.graph[0].outputs[0].shape is None
    assert model.graph.outputs[0].shape == ir.Shape(("n", 64))
    data = ir.serde.serialize_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].shape == ["n", 64]
    assert forget_shapes(model)[1] is False


@pytest.mark.parametrize("text", ["n, 64", "3, 64"])
def test_sizes_that_inputs_have_and_numbers_stay(text: str) -> None:
    model = in_between(text)
    before = ir.serde.serialize_model(model).SerializeToString()
    model, changed = forget_shapes(model)
    assert not changed
    assert ir.serde.serialize_model(model).SerializeToString() == before
