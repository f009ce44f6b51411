"""What the graph shows the outside: the last logits, its outputs' shapes, and nothing of where it was traced."""

import numpy as np
import onnx_ir as ir
from tiny_decoder import DECODER, traced
from tiny_graphs import ARCHITECTURE, PLAIN, TIED, blocks, data, run, unchanged

from smolship.export.onnx.passes import Pass, run_passes
from smolship.export.onnx.passes.declare_outputs import declare_outputs
from smolship.export.onnx.passes.last_logits import LOGITS_FROM, last_logits
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import quantized_linear
from smolship.export.onnx.passes.strip_provenance import strip_provenance


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


def test_last_logits_is_cut_once() -> None:
    model, changed = last_logits(ir.from_onnx_text(TIED))
    assert changed
    assert unchanged(last_logits, model)
    assert unchanged(last_logits, ir.from_onnx_text(PLAIN))


def test_the_outputs_get_their_shapes() -> None:
    model, changed = declare_outputs(ARCHITECTURE)(ir.from_onnx_text(TIED))
    assert changed
    assert model.graph.outputs[0].shape == ir.Shape(("batch_size", 1, 96))
    assert unchanged(declare_outputs(ARCHITECTURE), model)


def test_a_decoder_s_outputs_are_declared_as_its_clients_read_them() -> None:
    model, _ = declare_outputs(DECODER)(traced())
    shapes = {value.name: value.shape for value in model.graph.outputs}
    assert shapes.pop("logits") == ir.Shape(("batch_size", 1, 96))
    total = ir.Shape(("batch_size", 2, "past_sequence_length + sequence_length", 16))
    assert shapes == {f"present.{i}.{part}": total for i in range(2) for part in ("key", "value")}


def test_provenance_is_stripped() -> None:
    model = ir.from_onnx_text(TIED)
    model.doc_string = model.graph.doc_string = model.graph.inputs[0].doc_string = "/home/someone"
    for node in model.graph:
        node.doc_string = "/home/someone/model.py(12)"
        node.outputs[0].metadata_props["pkg.torch.onnx.name"] = "/home/someone"
        node.metadata_props["pkg.torch.onnx.stack_trace"] = "/home/someone/model.py(12)"
    model, changed = strip_provenance(model)
    assert changed
    assert model.producer_name == "smolship"
    assert "smolship" not in model.opset_imports
    assert b"someone" not in data(model)
    assert unchanged(strip_provenance, model)
