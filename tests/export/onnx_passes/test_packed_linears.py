"""Linear layers of one input in one: where they lie on one grid, and with what they computed apart."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from tiny_decoder import DECODER, Decoder, decoder, tokens, traced, weight
from tiny_graphs import PLAIN, run, session, unchanged

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.export import onnx as onnx_format
from smolship.export.onnx.graph import quantized_graph
from smolship.export.onnx.passes.float_weights import float_weights
from smolship.export.onnx.passes.grouped_attention import grouped_attention
from smolship.export.onnx.passes.packed_linears import packed_linears
from smolship.export.onnx.passes.walk import linears
from smolship.quantize import RECIPES, QuantizedModel, Recipe
from smolship.quantize.fit import FittedModel
from smolship.reference import Reference

ATTENTION = grouped_attention(DECODER)
ONE_GRID = packed_linears(DECODER, lambda _: None)
Q, K, V, GATE, UP = (
    f"model.layers.0.{name}_proj.weight" for name in ("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up")
)


def test_q_k_and_v_are_one_and_gate_and_up_are_one_and_compute_what_they_did() -> None:
    model, changed = ONE_GRID(ATTENTION(traced())[0])
    assert changed
    names = list(linears(model.graph))
    assert [name for name in names if ".0." in name] == [
        f"{Q}+{K}+{V}", "model.layers.0.self_attn.o_proj.weight", f"{GATE}+{UP}", "model.layers.0.mlp.down_proj.weight",
    ]  # fmt: skip
    assert len(names) == 4 * DECODER.layers + 1
    assert unchanged(ONE_GRID, model)
    ids = tokens(9, 9)
    want, _ = decoder(ATTENTION)(ids)
    got, _ = decoder(model=model)(ids)
    np.testing.assert_allclose(got, want, atol=5e-5)


@pytest.mark.parametrize(("alone", "apart"), [(V, {Q, K, V}), (UP, {GATE, UP})])
def test_what_lies_on_another_grid_stays_apart_with_its_siblings(alone: str, apart: set[str]) -> None:
    model, changed = packed_linears(DECODER, lambda name: name == alone)(ATTENTION(traced())[0])
    assert changed  # the other siblings
    names = set(linears(model.graph))
    assert apart < names
    ids = tokens(9)
    np.testing.assert_allclose(decoder(model=model)(ids)[0], decoder(ATTENTION)(ids)[0], atol=5e-5)


def test_nothing_is_packed_where_nothing_stands_or_every_tensor_has_a_grid_of_its_own() -> None:
    assert unchanged(ONE_GRID, ir.from_onnx_text(PLAIN))
    assert unchanged(packed_linears(DECODER, lambda name: name), ATTENTION(traced())[0])


def siblings(first: str, second: str, *, inputs: str = "xx") -> ir.Model:
    """Two linear layers in this order, the difference of gate's and up's outputs."""
    return ir.from_onnx_text(f"""
        <ir_version: 8, opset_import: ["" : 18, "smolship" : 1]>
        mlp (float[n, 64] x, float[n, 64] w) => (float[n, 128] y) {{
            {first} = smolship.Linear<name = "{GATE if first == "gate" else UP}">({inputs[0]})
            {second} = smolship.Linear<name = "{GATE if second == "gate" else UP}">({inputs[1]})
            y = Sub(gate, up)
        }}
    """)


@pytest.mark.parametrize("order", [("gate", "up"), ("up", "gate")])
def test_whichever_comes_first_each_reader_gets_its_own_rows(order: tuple[str, str]) -> None:
    model, changed = ONE_GRID(siblings(*order))
    assert changed
    assert list(linears(model.graph)) == [f"{GATE}+{UP}"]
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    want = x @ weight(GATE).T - x @ weight(UP).T
    np.testing.assert_allclose(run(float_weights(weight)(model)[0], x=x, w=x), want, atol=1e-5)


def test_linear_layers_of_different_inputs_stay() -> None:
    assert unchanged(ONE_GRID, siblings("gate", "up", inputs="xw"))


@pytest.fixture(scope="module")
def mixed(tiny_checkpoint: Checkpoint) -> FittedModel:
    """Layer 0 with other bits for v and up than for their siblings, layer 1 with another grid of as many bits."""
    names = [name for name, shape in tiny_checkpoint.architecture.shapes().items() if len(shape) == 2]
    grids = dict.fromkeys(names, "int4-b32") | {EMBEDDING: "int8-b32", V: "int8-b32", UP: "int8-b32"}
    for name in (K, GATE):
        grids[name.replace("layers.0", "layers.1")] = "uint4-b32"
    return FittedModel(tiny_checkpoint, RECIPES["q4"], grids=grids)


def test_a_file_of_mixed_grids_packs_none_of_them_and_gives_every_tensor_back(
    mixed: FittedModel, tmp_path: Path
) -> None:
    onnx_format.pack(mixed, tmp_path, 256)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert not [tensor.name for tensor in graph.initializer if "+" in tensor.name]
    found = onnx_format.unpack(tmp_path)
    assert sorted(found) == sorted(mixed.matrices())
    assert all(blocks.same_as(mixed.blocks(name, "onnx")) for name, blocks in found.items())
    assert {found[name].grid for name in (V, UP)} == {"int8-b32"}


def test_a_file_of_mixed_grids_computes_what_its_weights_say(mixed: FittedModel) -> None:
    weights = {name: torch.from_numpy(mixed.blocks(name, "onnx").dequantize()) for name in mixed.matrices()}
    weights |= {name: torch.from_numpy(mixed.floats(name)) for name in mixed.vectors()}
    ids = tokens(24)
    want = Reference(mixed.checkpoint.architecture, weights).logits(ids[0]).numpy()
    got, _ = Decoder(session(quantized_graph(mixed, accuracy_level=0), every=True))(ids)
    np.testing.assert_allclose(got[0], want, atol=2e-5 * np.abs(want).max())


def test_packed_tensors_come_back_each_for_itself(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = QuantizedModel(tiny_checkpoint, Recipe("uint4", "uint4", "uint4", "nearest", "with zero points"))
    onnx_format.pack(model, tmp_path, 256)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert f"{Q}+{K}+{V}.zero_points" in {tensor.name for tensor in graph.initializer}
    found = onnx_format.unpack(tmp_path)
    assert found[K].codes.shape == tiny_checkpoint.architecture.shapes()[K]
    assert all(blocks.same_as(model.blocks(name, "onnx")) for name, blocks in found.items())
