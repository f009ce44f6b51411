"""A norm's seven nodes become one, with the sum before it."""

import onnx_ir as ir

from smolship.export.onnx.passes.walk import CONTRIB, drop_unused, made_by, number, swap


def fused_norms(model: ir.Model) -> tuple[ir.Model, bool]:
    """X [..., hidden] · gain / sqrt(mean(x²) + epsilon) in one node (Zhang and Sennrich 2019; ONNX Runtime's operator).

    A norm is known by its gain: `Mul(gain, Cast(Mul(x, Div(1, Sqrt(Add(ReduceMean(Pow(x, 2)), epsilon))))))`, with
    casts of float to float on the way, which are dropped. Where x is a sum of two, the operator adds them itself and
    gives the sum to whoever reads it.
    """
    graph = model.graph
    found = [(node, *parts) for node in graph if (parts := _norm(node)) is not None]
    for node, x, gain, epsilon in found:
        _replace(graph, node, x, gain, epsilon)
    if found:
        model.opset_imports[CONTRIB] = 1
        drop_unused(graph)
    return model, bool(found)


def _norm(last: ir.Node) -> tuple[ir.Value, ir.Value, float] | None:
    """x, gain and epsilon of the norm that ends in `last`, if one does."""
    if last.op_type != "Mul" or last.inputs[0] is None or not last.inputs[0].is_initializer():
        return None
    scaled = made_by(_uncast(last.inputs[1]), "Mul")
    inverse = made_by(scaled.inputs[1], "Div") if scaled else None
    root = made_by(inverse.inputs[1], "Sqrt") if inverse else None
    added = made_by(root.inputs[0], "Add") if root else None
    mean = made_by(added.inputs[0], "ReduceMean") if added else None
    square = made_by(mean.inputs[0], "Pow") if mean else None
    if scaled is None or inverse is None or added is None or mean is None or square is None:
        return None
    epsilon = number(added.inputs[1])
    x = _uncast(scaled.inputs[0])
    if x is None or epsilon is None or number(inverse.inputs[0]) != 1 or number(square.inputs[1]) != 2:
        return None
    if number(mean.inputs[1]) != -1:
        return None
    return (x, last.inputs[0], epsilon) if _uncast(square.inputs[0]) is x else None


def _uncast(value: ir.Value | None) -> ir.Value | None:
    """What stands before a cast to float32, or the value itself."""
    cast = made_by(value, "Cast")
    return cast.inputs[0] if cast is not None and cast.attributes["to"].as_int() == ir.DataType.FLOAT else value


def _replace(graph: ir.Graph, last: ir.Node, x: ir.Value, gain: ir.Value, epsilon: float) -> None:
    total = made_by(x, "Add")
    name = str(last.name)
    if total is None:
        attributes = {"axis": -1, "epsilon": epsilon, "stash_type": 1}
        new = ir.node("SimplifiedLayerNormalization", [x, gain], attributes, name=name)
        drop = {last.outputs[0]: new.outputs[0]}
    else:
        inputs = [*total.inputs, gain]
        new = ir.node(
            "SkipSimplifiedLayerNormalization", inputs, {"epsilon": epsilon}, domain=CONTRIB, name=name, num_outputs=4
        )
        for unused in new.outputs[1:3]:
            unused.name = ""  # mean and deviation, which nobody reads
        drop = {last.outputs[0]: new.outputs[0], x: new.outputs[3]}
    for cast in [node for node in x.consumers() if _uncast(node.outputs[0]) is x]:
        ir.convenience.replace_all_uses_with(cast.outputs[0], x)
    swap(graph, last, [new], drop)
