"""SiLU in one node."""

import numpy as np
import onnx_ir as ir
from tiny_graphs import operators, run, session, unchanged

from smolship.export.onnx.passes.gated_activation import gated_activation

X = np.linspace(-30, 30, 128, dtype=np.float32).reshape(2, 64)


def gated(*lines: str) -> ir.Model:
    """A graph of x and w that gives y."""
    body = "\n".join(lines)
    return ir.from_onnx_text(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        gated (float[n, 64] x, float[n, 64] w) => (float[n, 64] y) {{
            {body}
        }}
    """)


def test_silu_is_one_node_that_computes_it() -> None:
    model, changed = gated_activation(gated("s = Sigmoid(x)", "y = Mul(x, s)"))
    assert changed
    assert operators(model) == ["QuickGelu"]
    wide = X.astype(np.float64)
    want = wide / (1 + np.exp(-wide))
    np.testing.assert_allclose(run(model, x=X, w=X), want, atol=1e-6 * np.abs(want).max())
    assert unchanged(gated_activation, model)


def test_a_sigmoid_that_another_reads_stays_for_it() -> None:
    model = gated("s = Sigmoid(x)", "silu = Mul(x, s)", "y = Add(silu, w)")
    sigmoid = model.graph[0].outputs[0]
    sigmoid.type, sigmoid.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(X.shape)
    model.graph.outputs.append(sigmoid)
    model, _ = gated_activation(model)
    assert sorted(operators(model)) == ["Add", "QuickGelu", "Sigmoid"]
    y, s = session(model).run(None, {"x": X, "w": X})
    np.testing.assert_allclose(y, X * s + X, atol=1e-5)


def test_a_product_with_the_sigmoid_of_something_else_stays() -> None:
    assert unchanged(gated_activation, gated("s = Sigmoid(w)", "y = Mul(x, s)"))
