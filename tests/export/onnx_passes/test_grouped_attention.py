"""Attention in one node: what the traced nodes compute, over prompts, caches and positions; what it will not take."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from tiny_decoder import DECODER, Cache, Decoder, decoder, tokens, traced
from tiny_graphs import PLAIN, operators, unchanged

from smolship.errors import SmolshipError
from smolship.export.onnx.passes.grouped_attention import grouped_attention

ATTENTION = grouped_attention(DECODER)
CLOSE = 1e-4  # logits up to 10, sums in another order


@pytest.fixture(scope="module")
def unfused() -> Decoder:
    return decoder()


@pytest.fixture(scope="module")
def fused() -> Decoder:
    return decoder(ATTENTION)


def test_a_layer_s_attention_is_one_node_and_nothing_of_it_is_left() -> None:
    model, changed = ATTENTION(traced())
    assert changed
    found = operators(model)
    assert found.count("GroupQueryAttention") == DECODER.layers
    assert not {"Softmax", "Transpose", "Expand", "Where", "Neg", "Trilu"} & set(found)
    names = [f"past_key_values.{i}.{part}" for i in range(DECODER.layers) for part in ("key", "value")]
    assert [value.name for value in model.graph.inputs][3:] == names
    assert [value.name for value in model.graph.outputs][1:] == [
        name.replace("past_key_values", "present") for name in names
    ]
    assert unchanged(ATTENTION, model)


def test_there_is_none_in_a_graph_without_layers() -> None:
    assert unchanged(ATTENTION, ir.from_onnx_text(PLAIN))


def test_prompts_of_one_length_give_the_logits_and_the_cache_that_the_traced_nodes_give(
    unfused: Decoder, fused: Decoder
) -> None:
    batch = tokens(20, 20)
    want, past = unfused(batch)
    got, own = fused(batch)
    np.testing.assert_allclose(got, want, atol=CLOSE)
    for one, other in zip(own, past, strict=True):
        np.testing.assert_allclose(one, other, atol=CLOSE)


def test_chunks_and_steps_after_a_past_give_what_the_traced_nodes_give(unfused: Decoder, fused: Decoder) -> None:
    (ids,) = tokens(24)
    past: Cache = ()
    own: Cache = ()
    for chunk in (ids[:9], ids[9:17], *([token] for token in ids[17:])):
        want, past = unfused([chunk], past=past)
        got, own = fused([chunk], past=own)
        np.testing.assert_allclose(got, want, atol=CLOSE)


def test_where_a_text_begins_makes_no_difference(unfused: Decoder, fused: Decoder) -> None:
    """Rotary positions are relative: a token's is the number of tokens before it, whatever `position_ids` say."""
    batch, positions = tokens(12), np.arange(30, 42)[None]
    want, past = unfused(batch, positions=positions)
    got, own = fused(batch, positions=positions)
    np.testing.assert_allclose(got, want, atol=CLOSE)
    want, _ = unfused([[20]], positions=[[42]], past=past)
    got, _ = fused([[20]], positions=[[42]], past=own)
    np.testing.assert_allclose(got, want, atol=CLOSE)
    np.testing.assert_array_equal(got, fused([[20]], past=own)[0])


def softmax(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.op_type == "Softmax")


def with_two_softmaxes(model: ir.Model) -> None:
    first = softmax(model)
    second = ir.node("Softmax", [first.outputs[0]], {"axis": -1})
    ir.convenience.replace_all_uses_with(first.outputs[0], second.outputs[0])
    second.replace_input_with(0, first.outputs[0])
    model.graph.insert_after(first, second)


def with_a_stranger(model: ir.Model) -> None:
    bias = ir.Value(name="bias", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
    model.graph.inputs.append(bias)
    first = softmax(model)
    added = ir.node("Add", [first.inputs[0], bias])
    first.replace_input_with(0, added.outputs[0])
    model.graph.insert_before(first, added)


def without_softmax(model: ir.Model) -> None:
    first = softmax(model)
    first.op_type = "Sigmoid"
    first.attributes.clear()


def with_nothing_to_project(model: ir.Model) -> None:
    projected = next(node for node in model.graph if "o_proj" in str(node.name) and node.domain == "smolship")
    projected.replace_input_with(0, None)


STRANGE: dict[str, tuple[Callable[[ir.Model], None], str]] = {
    "two softmaxes": (with_two_softmaxes, "layer 0 .*no attention that is known here: 2 softmaxes"),
    "no softmax": (without_softmax, "layer 0 .*: 0 softmaxes"),
    "a stranger": (with_a_stranger, "layer 0 .*: 1 softmaxes, and it reads bias"),
    "no projection": (with_nothing_to_project, "layer 0 .*output projection of nothing"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_no_attention_that_is_known_is_refused(what: str) -> None:
    change, message = STRANGE[what]
    model = traced()
    change(model)
    with pytest.raises(SmolshipError, match=message):
        ATTENTION(model)
