"""What passes find their way with."""

import numpy as np
import onnx_ir as ir
from tiny_graphs import TIED, operators, run

from smolship.checkpoint import EMBEDDING
from smolship.export.onnx.passes.walk import drop_unused, linears, made_by, number, swap, through

TEXT = """
    <ir_version: 8, opset_import: ["" : 18]>
    walk (float[n] x) => (float[n] y) <float three = {3.0}, float[2] pair = {1.0, 2.0}> {
        four = Constant<value = float[1] {4.0}>()
        wide = Cast<to = 1>(x)
        t = Mul(wide, three)
        y = Add(t, four)
    }
"""


def nodes() -> tuple[ir.Model, dict[str, ir.Node]]:
    model = ir.from_onnx_text(TEXT)
    return model, {node.op_type: node for node in model.graph}


def test_a_value_leads_back_to_its_node_if_it_is_the_one_that_is_asked_for() -> None:
    model, found = nodes()
    assert made_by(found["Add"].inputs[0], "Mul", "Div") is found["Mul"]
    assert made_by(found["Add"].inputs[0], "Div") is None
    assert made_by(model.graph.inputs[0], "Mul") is None
    assert made_by(None, "Mul") is None


def test_a_node_on_the_way_is_passed_or_the_value_is_its_own() -> None:
    model, found = nodes()
    assert through(found["Mul"].inputs[0], "Cast") is model.graph.inputs[0]
    assert through(found["Add"].inputs[0], "Cast") is found["Mul"].outputs[0]
    assert through(None, "Cast") is None


def test_a_constant_of_one_element_is_a_number() -> None:
    model, found = nodes()
    assert number(found["Mul"].inputs[1]) == 3
    assert number(found["Add"].inputs[1]) == 4
    others = (model.graph.initializers["pair"], model.graph.inputs[0], found["Mul"].outputs[0], None)
    assert [number(value) for value in others] == [None] * 4


def test_linear_layers_are_known_by_their_tensors() -> None:
    model = ir.from_onnx_text(TIED)
    assert linears(model.graph) == {EMBEDDING: model.graph[2]}


def test_a_node_in_another_s_place_feeds_its_readers_and_takes_its_output_s_name() -> None:
    model, found = nodes()
    graph, old = model.graph, found["Add"]
    new = ir.node("Sub", [old.inputs[0], graph.initializers["three"]])
    swap(graph, old, [new], {old.outputs[0]: new.outputs[0]})
    assert [value.name for value in graph.outputs] == ["y"]
    assert graph.outputs[0].type == ir.TensorType(ir.DataType.FLOAT)
    assert set(operators(model)) == {"Constant", "Cast", "Mul", "Sub", "Add"}
    drop_unused(graph)
    assert operators(model) == ["Cast", "Mul", "Sub"]
    assert list(graph.initializers) == ["three"]
    np.testing.assert_array_equal(run(model, x=np.ones(2, np.float32)), [0, 0])


def test_what_is_needed_is_not_dropped() -> None:
    model, _ = nodes()
    del model.graph.initializers["pair"]
    before = operators(model)
    drop_unused(model.graph)
    assert operators(model) == before
    assert list(model.graph.initializers) == ["three"]
