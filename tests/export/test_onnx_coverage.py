"""Nothing is silent: what is no tensor of the checkpoint, or lacks one, is an error."""

import numpy as np
import onnx_ir as ir
import pytest
from tiny_graphs import ARCHITECTURE, PLAIN, TIED

from smolship.errors import SmolshipError
from smolship.export.onnx.coverage import check_coverage


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
