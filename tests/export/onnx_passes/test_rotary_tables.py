"""Cosines and sines: right to float32 at every position, nodes in the file and tables once it is loaded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from tiny_decoder import DECODER, traced, weight
from tiny_graphs import data, session

from smolship.export.onnx.passes.float_weights import float_weights
from smolship.export.onnx.passes.grouped_attention import grouped_attention
from smolship.export.onnx.passes.rotary_tables import COS, SIN, rotary_tables
from smolship.quiet import quiet

LONG = replace(DECODER, head_dim=64, max_positions=8192)  # as the real model's
EMPTY = """
    <ir_version: 8, opset_import: ["" : 18]>
    tables (float[n] x) => (float[n] y) { y = Identity(x) }
"""


def tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    model = ir.from_onnx_text(EMPTY)
    for value in rotary_tables(model.graph, LONG):
        value.type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.outputs.append(value)
    cos, sin = session(model).run([COS, SIN], {"x": np.zeros(1, np.float32)})
    return cos, sin


def test_they_are_the_cosine_and_sine_of_every_position_as_far_as_float32_holds_the_angle() -> None:
    exponents = np.arange(0, LONG.head_dim, 2) / LONG.head_dim
    angles = np.arange(LONG.max_positions)[:, None] / LONG.rope_theta**exponents
    bound = 1e-6 + angles * 2.0**-22  # a power, its inverse and a product are rounded
    for got, want in zip(tables(), (np.cos(angles), np.sin(angles)), strict=True):
        assert got.shape == (8192, 32)
        assert got.dtype == np.float32
        assert (np.abs(got - want) <= bound).all()


def test_their_frequencies_are_those_of_transformers_to_the_last_bit() -> None:
    """An ulp of a frequency is 0.0005 radians at position 8,000."""
    with quiet():
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

        from smolship.export.onnx.skeleton import llama_config

        config = llama_config(replace(LONG, hidden=LONG.heads * LONG.head_dim))
        frequencies: torch.Tensor = LlamaRotaryEmbedding(config).inv_freq
    model = ir.from_onnx_text(EMPTY)
    rotary_tables(model.graph, LONG)
    stored = model.graph.initializers["rotary.frequencies"].const_value
    assert stored is not None
    np.testing.assert_array_equal(stored.numpy()[0], frequencies.numpy())


def test_a_graph_has_them_once() -> None:
    graph = ir.from_onnx_text(EMPTY).graph
    first = rotary_tables(graph, LONG)
    nodes = len(graph)
    assert rotary_tables(graph, LONG) == first
    assert len(graph) == nodes


def test_the_file_has_no_table_and_the_loaded_session_has_nothing_else(tmp_path: Path) -> None:
    a = replace(DECODER, max_positions=8192)
    model, _ = grouped_attention(a)(traced())
    stored = [value.const_value for name, value in model.graph.initializers.items() if name.startswith("rotary.")]
    assert sum(tensor.size for tensor in stored if tensor is not None) < a.head_dim
    short, _ = grouped_attention(DECODER)(traced())
    assert len(data(model)) == len(data(short))

    folded = str(tmp_path / "folded.onnx")
    session(float_weights(weight)(model)[0], folded=folded)
    loaded = onnx.load(folded).graph
    assert not {"Cos", "Sin", "Range"} & {node.op_type for node in loaded.node}
    held = {initializer.name: list(initializer.dims) for initializer in loaded.initializer}
    assert {COS: held[COS], SIN: held[SIN]} == {COS: [8192, 8], SIN: [8192, 8]}
