"""`x · Sigmoid(x)` becomes `QuickGelu`, one pass over the activations in place of two."""

import onnx_ir as ir

from smolship.export.onnx.passes.walk import CONTRIB, drop_unused, made_by, swap


def gated_activation(model: ir.Model) -> tuple[ir.Model, bool]:
    """SiLU is ONNX Runtime's `QuickGelu` with alpha 1."""
    graph = model.graph
    found = [node for node in graph if _is_silu(node)]
    for node in found:
        silu = ir.node("QuickGelu", [node.inputs[0]], {"alpha": 1.0}, domain=CONTRIB, name=node.name)
        swap(graph, node, [silu], {node.outputs[0]: silu.outputs[0]})
    if found:
        model.opset_imports[CONTRIB] = 1
        drop_unused(graph)
    return model, bool(found)


def _is_silu(node: ir.Node) -> bool:
    sigmoid = made_by(node.inputs[1], "Sigmoid") if node.op_type == "Mul" else None
    return sigmoid is not None and sigmoid.inputs[0] is node.inputs[0]
