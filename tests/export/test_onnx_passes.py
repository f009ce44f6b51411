"""Each graph pass on a graph of a few lines, run by ONNX Runtime, and on a graph that it must not change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from smolship.checkpoint import EMBEDDING, Architecture
from smolship.errors import InputError, SmolshipError
from smolship.export.onnx.coverage import check_coverage
from smolship.export.onnx.packing import (
    GRID_BITS,
    half_scales,
    pack_codes,
    pack_zero_points,
    packed_shape,
    unpack_codes,
    unpack_minimums,
)
from smolship.export.onnx.passes import Pass, run_passes
from smolship.export.onnx.passes.declare_outputs import declare_outputs
from smolship.export.onnx.passes.last_logits import LOGITS_FROM, last_logits
from smolship.export.onnx.passes.norm_gains import norm_gains
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import quantized_linear
from smolship.export.onnx.passes.strip_provenance import strip_provenance
from smolship.export.onnx.write import write_model
from smolship.quantize import Blocks
from smolship.quantize.grids import grid_named

ARCHITECTURE = Architecture(
    vocabulary=96, hidden=64, intermediate=128, layers=1, heads=4, kv_heads=2, head_dim=16, rope_theta=1e5,
    norm_epsilon=1e-5, max_positions=64, bos_id=1, eos_id=2, pad_id=2,
)  # fmt: skip

TIED = f"""
    <ir_version: 8, opset_import: ["" : 18, "smolship" : 1]>
    tied (int64[batch, n] ids) => (float[batch, n, v] logits) {{
        x = smolship.Embedding<name = "{EMBEDDING}">(ids)
        y = Mul(x, x)
        logits = smolship.Linear<name = "{EMBEDDING}">(y)
    }}
"""

PLAIN = """
    <ir_version: 8, opset_import: ["" : 18]>
    plain (float[n, 64] x) => (float[n, 64] y) { y = Mul(x, x) }
"""


def blocks(grid: str, rows: int = 96, row: int = 64) -> Blocks:
    random = np.random.default_rng(0)
    scales = np.abs(random.standard_normal((rows, row // 32))).astype(np.float16).astype(np.float32) + np.float32(0.25)
    kind = grid_named(grid)
    codes = random.integers(kind.low, kind.high, (rows, row), np.int8, endpoint=True)
    scales = scales.astype(np.float16).astype(np.float32)
    zero_points = random.integers(0, 16, scales.shape).astype(np.float32)
    return Blocks(codes, scales, grid, -zero_points * scales if kind.affine else None)


def run(model: ir.Model, **feeds: NDArray[np.generic]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    data = ir.serde.serialize_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, feeds)[0]
    return found


@pytest.mark.parametrize("grid", GRID_BITS)
def test_the_tied_matrix_is_gathered_and_multiplied_from_one_initializer(grid: str) -> None:
    tied = blocks(grid)
    w = tied.dequantize()
    model = ir.from_onnx_text(TIED)
    model = run_passes(model, (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied, 0)))
    ids = np.array([[0, 95, 7], [7, 7, 31]], np.int64)
    want = (w[ids] ** 2) @ w.T
    np.testing.assert_allclose(run(model, ids=ids), want, atol=1e-5 * np.abs(want).max())
    stored = [name for name, v in model.graph.initializers.items() if v.const_value and v.const_value.size > 8]
    parts = [".codes", ".scales", *([".zero_points"] if tied.minimums is not None else [])]
    assert sorted(stored) == [EMBEDDING + part for part in parts]


def test_the_head_sees_the_last_position_only() -> None:
    tied = blocks("int8-b32")
    steps: tuple[Pass, ...] = (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied, 0))
    ids = np.array([[3, 14, 15, 92]], np.int64)
    every = run(run_passes(ir.from_onnx_text(TIED), steps), ids=ids)
    model = run_passes(ir.from_onnx_text(TIED), (last_logits, *steps))
    close = 1e-5 * np.abs(every).max()  # one row and four take different kernels
    np.testing.assert_allclose(run(model, ids=ids), every[:, -1:], atol=close)
    model.graph.initializers[LOGITS_FROM].const_value = ir.tensor(np.array([0], np.int64), name=LOGITS_FROM)
    np.testing.assert_array_equal(run(model, ids=ids), every)


def test_the_outputs_get_their_shapes() -> None:
    model, changed = declare_outputs(ARCHITECTURE)(ir.from_onnx_text(TIED))
    assert changed
    assert model.graph.outputs[0].shape == ir.Shape(("batch_size", 1, 96))


def test_a_norm_gets_its_gain() -> None:
    zeros = ", ".join("0" * 64)
    text = PLAIN.replace("Mul(x, x)", "Mul(x, gain)").replace("y) {", f"y) <float[64] gain = {{{zeros}}}> {{")
    model = ir.from_onnx_text(text)
    gain = np.arange(64, dtype=np.float32)
    step = norm_gains(("gain",), lambda _: gain)
    model, changed = step(model)
    assert changed
    np.testing.assert_array_equal(run(model, x=np.ones((1, 64), np.float32))[0], gain)
    assert step(model)[1] is False
    with pytest.raises(KeyError, match=r"model\.norm\.weight"):
        norm_gains(("model.norm.weight",), lambda _: gain)(model)


def test_provenance_is_stripped() -> None:
    model = ir.from_onnx_text(TIED)
    for node in model.graph:
        node.doc_string = "/home/someone/model.py(12)"
        node.metadata_props["pkg.torch.onnx.stack_trace"] = "/home/someone/model.py(12)"
    model, changed = strip_provenance(model)
    assert changed
    assert b"someone" not in ir.serde.serialize_model(model).SerializeToString()
    assert strip_provenance(model)[1] is False


NOTHING_TO_DO: dict[str, Callable[[], Pass]] = {
    "quantized_linear": lambda: quantized_linear(lambda _: blocks("int4-b32")),
    "quantized_embedding": lambda: quantized_embedding(lambda _: blocks("int4-b32")),
    "last_logits": lambda: last_logits,
    "norm_gains": lambda: norm_gains((), lambda _: np.ones(64, np.float32)),
}


@pytest.mark.parametrize("name", NOTHING_TO_DO)
def test_a_pass_leaves_a_graph_without_its_pattern_as_it_is(name: str) -> None:
    model = ir.from_onnx_text(PLAIN)
    before = ir.serde.serialize_model(model).SerializeToString()
    model, changed = NOTHING_TO_DO[name]()(model)
    assert changed is False
    assert ir.serde.serialize_model(model).SerializeToString() == before


def test_last_logits_is_cut_once() -> None:
    model, changed = last_logits(ir.from_onnx_text(TIED))
    assert (changed, last_logits(model)[1]) == (True, False)


def test_a_stand_in_that_stays_is_an_error() -> None:
    model = ir.from_onnx_text(TIED)
    for index, node in enumerate(model.graph):
        node.name = f"node{index}"
    with pytest.raises(SmolshipError, match=r"stand-in.*node0.*node2"):
        check_coverage(model, ARCHITECTURE)


def test_a_tensor_that_the_graph_lacks_is_an_error() -> None:
    with pytest.raises(SmolshipError, match=r"lacks.*model\.embed_tokens\.weight\.codes"):
        check_coverage(ir.from_onnx_text(PLAIN), ARCHITECTURE)


def test_a_float_weight_that_no_one_quantised_is_an_error() -> None:
    model = ir.from_onnx_text(PLAIN)
    for name, shape in ARCHITECTURE.shapes().items():
        for part in (name,) if len(shape) == 1 else (f"{name}.codes", f"{name}.scales"):
            tensor = ir.tensor(np.zeros(4, np.float32), name=part)
            model.graph.register_initializer(ir.Value(name=part, const_value=tensor))
    check_coverage(model, ARCHITECTURE)
    left = ir.tensor(np.zeros((64, 64), np.float32), name="onnx::MatMul_77")
    model.graph.register_initializer(ir.Value(name="onnx::MatMul_77", const_value=left))
    with pytest.raises(SmolshipError, match=r"onnx::MatMul_77.*16384 bytes"):
        check_coverage(model, ARCHITECTURE)


@pytest.mark.parametrize("grid", GRID_BITS)
def test_codes_unpack_to_what_was_packed(grid: str) -> None:
    original = blocks(grid)
    packed = pack_codes(original)
    assert packed.shape == packed_shape("w", original) == (96, 2, 32 * GRID_BITS[grid] // 8)
    np.testing.assert_array_equal(unpack_codes(packed, grid), original.codes)


@pytest.mark.parametrize("row", [64, 96])
def test_zero_points_unpack_to_what_was_packed(row: int) -> None:
    original = blocks("uint4-b32", row=row)
    packed = pack_zero_points("w", original)
    assert packed is not None
    assert packed.shape == (96, 1 if row == 64 else 2)
    assert original.minimums is not None
    np.testing.assert_array_equal(unpack_minimums(packed, original.scales), original.minimums)
    assert pack_zero_points("w", blocks("int4-b32")) is None


def test_rows_with_an_odd_number_of_groups_have_zero_points_of_their_own() -> None:
    tied = blocks("uint4-b32", row=96)
    w = tied.dequantize()
    steps = (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied, 0))
    ids = np.array([[0, 95, 7]], np.int64)
    want = (w[ids] ** 2) @ w.T
    got = run(run_passes(ir.from_onnx_text(TIED), steps), ids=ids)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_what_the_operators_cannot_hold_is_refused_by_name() -> None:
    good = blocks("int4-b32")
    with pytest.raises(InputError, match=r"layer\.weight: grid int8-row has no ONNX form"):
        packed_shape("layer.weight", Blocks(good.codes, good.scales, "int8-row"))
    with pytest.raises(InputError, match=r"layer\.weight: 96 rows of 64 weights with scales \(96, 4\)"):
        packed_shape("layer.weight", Blocks(good.codes, np.ones((96, 4), np.float32), "int4-b32"))
    with pytest.raises(InputError, match=r"layer\.weight: a scale of grid int4-b32 is not exact in float16"):
        half_scales("layer.weight", Blocks(good.codes, good.scales + np.float32(1e-5), "int4-b32"))
    minimum = np.full_like(good.scales, 0.3)
    with pytest.raises(InputError, match=r"layer\.weight: a minimum of grid uint4-b32 is no zero point"):
        pack_zero_points("layer.weight", Blocks(good.codes, good.scales, "uint4-b32", minimum))


def test_the_streamed_file_is_the_model_that_onnx_would_write(tmp_path: Path) -> None:
    tied = blocks("int8-b32")
    model = run_passes(ir.from_onnx_text(TIED), (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied)))
    whole = ir.serde.serialize_model(model)
    write_model(model, tmp_path / "model.onnx")
    assert ir.serde.serialize_model(model) == whole
    inner = [info for info in whole.graph.value_info if info.name not in model.graph.initializers]
    del whole.graph.value_info[:]  # an initialiser says its own type and shape
    whole.graph.value_info.extend(inner)
    assert onnx.load(tmp_path / "model.onnx") == whole


def test_a_model_beyond_protobuf_s_limit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = ir.from_onnx_text(PLAIN)
    huge = ir.LazyTensor(lambda: pytest.fail("read"), dtype=ir.DataType.FLOAT, shape=ir.Shape((2**29,)), name="huge")
    model.graph.register_initializer(ir.Value(name="huge", const_value=huge))
    with pytest.raises(InputError, match="choose a 4-bit recipe"):
        write_model(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
