"""How passes find what they look for: from a value back to the node that made it, and stand-ins by their tensor."""

from collections.abc import Iterable

import onnx_ir as ir

from smolship.checkpoint.architecture import EMBEDDING, HEAD

STAND_IN = "smolship"
"""the domain of the operators that stand for a checkpoint's tensors"""
CONTRIB = "com.microsoft"
"""the domain of ONNX Runtime's own operators"""


def made_by(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """The node that made the value, if it is one of these operators."""
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type in operators else None


def through(value: ir.Value | None, operator: str) -> ir.Value | None:
    """What stands before a node of that operator, or the value itself if another node made it."""
    node = made_by(value, operator)
    return value if node is None else node.inputs[0]


def number(value: ir.Value | None) -> float | None:
    """The number that a constant of one element is; `None` for any other value."""
    producer = made_by(value, "Constant")
    tensor = value.const_value if value is not None else None
    if tensor is None and producer is not None and "value" in producer.attributes:
        tensor = producer.attributes["value"].as_tensor()
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None


def linears(graph: ir.Graph) -> dict[str, ir.Node]:
    """The stand-ins for linear layers, by the name of their tensor."""
    found = (node for node in graph if node.domain == STAND_IN and node.op_type == "Linear")
    return {node.attributes["name"].as_string(): node for node in found}


def head(graph: ir.Graph) -> ir.Node | None:
    """The stand-in for the head: a linear layer of its own name, or of the embedding's that it is tied to."""
    found = linears(graph)
    return found.get(HEAD, found.get(EMBEDDING))


def swap(graph: ir.Graph, old: ir.Node, new: Iterable[ir.Node], values: dict[ir.Value, ir.Value]) -> None:
    """Put nodes where `old` stands, and each new value in the place of an old one, also as an output of the graph.

    `old` and what it alone was fed by stay, unused, until `drop_unused` takes them.
    """
    graph.insert_before(old, list(new))
    for before, after in values.items():
        after.shape, after.type = after.shape or before.shape, after.type or before.type
        name = before.name
        ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
        before.name, after.name = f"{name}.before", name


def drop_unused(graph: ir.Graph) -> None:
    """Remove nodes that nothing needs any more, from the end of the graph to its beginning."""
    outputs = set(graph.outputs)
    for node in reversed(list(graph)):
        if not any(value.uses() or value in outputs for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses():
            del graph.initializers[name]
