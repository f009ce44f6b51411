"""The file is the model, written one initialiser at a time, or it is not written."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from tiny_graphs import PLAIN, TIED, blocks

from smolship.errors import InputError
from smolship.export.onnx.passes import run_passes
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import quantized_linear
from smolship.export.onnx.write import write_model


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
