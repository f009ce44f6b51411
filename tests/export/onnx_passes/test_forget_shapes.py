"""What the tracer said of values in between is gone, so that ONNX Runtime infers one size for one thing."""

import onnx_ir as ir
import onnxruntime
from tiny_graphs import PLAIN

from smolship.export.onnx.passes.forget_shapes import forget_shapes


def test_the_values_in_between_say_nothing_and_the_ends_what_they_did() -> None:
    text = PLAIN.replace("{ y = Mul(x, x) }", "<float[other, 64] z> { z = Mul(x, x) y = Mul(z, x) }")
    model, changed = forget_shapes(ir.from_onnx_text(text))
    assert changed
    between = model.graph[0].outputs[0]
    assert (between.shape, between.type) == (None, None)
    assert model.graph.outputs[0].shape == ir.Shape(("n", 64))
    data = ir.serde.serialize_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].shape == ["n", 64]


def test_a_graph_that_says_nothing_is_left_as_it_is() -> None:
    model = ir.from_onnx_text(PLAIN)
    before = ir.serde.serialize_model(model).SerializeToString()
    model, changed = forget_shapes(model)
    assert not changed
    assert ir.serde.serialize_model(model).SerializeToString() == before
