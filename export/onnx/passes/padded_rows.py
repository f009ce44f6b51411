"""Batches padded on the left, as transformers pads them, or on the right, as ONNX Runtime GenAI does."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import onnx_ir as ir

from smolship.export.onnx.passes.grouped_attention import MASK
from smolship.export.onnx.passes.walk import head, made_by, through
from smolship.export.onnx.weights import add_initializer

IDS = "input_ids"


def padded_rows(model: ir.Model) -> tuple[ir.Model, bool]:
    """Rotate each row's new tokens so that padding comes last, and what the head is given so that it comes first.

    `GroupQueryAttention` counts a row's tokens by its mask and takes the first ones to be those. The padding of a row
    is what its mask lacks in the columns of this call's tokens; one row, or rows of one length, are left as they are.
    The head's last position is then each row's last token, wherever its padding stood.
    A dozen nodes on [batch, sequence] integers, whatever the number of layers.
    """
    graph = model.graph
    last = head(graph)
    given = {value.name: value for value in graph.inputs}
    fused = any(node.op_type == "GroupQueryAttention" for node in graph)
    if last is None or not fused or made_by(through(last.inputs[0], "Slice"), "GatherND"):
        return model, False
    first = _Nodes(graph)
    row, end = first.constant("axis", 1), first.constant("end", np.iinfo(np.int64).max)
    new = first.node("Shape", [given[IDS]], start=1)  # int64 [1]: this call's tokens
    fresh = first.node("Slice", [given[MASK], first.node("Neg", [new]), end, row])
    padding = first.node("Sub", [new, first.node("ReduceSum", [fresh, row], keepdims=1)])  # [batch, 1]
    before = first.node("ArgMax", [fresh], axis=1, keepdims=1)  # [batch, 1]: what of it comes before the first token
    places = first.node("Range", [first.scalar("zero", 0), first.node("Squeeze", [new]), first.scalar("one", 1)])
    order = first.node("Mod", [first.node("Add", [places, before]), new])  # [batch, sequence]
    back = first.node("Mod", [first.node("Sub", [places, padding]), new])
    rotated = first.node("GatherElements", [given[IDS], order], axis=1)
    rotated.shape, rotated.type = given[IDS].shape, given[IDS].type  # or no shape behind it would be known
    rows = first.node("Unsqueeze", [back, first.constant("rows", 2)])
    readers = [(node, index) for node, index in given[IDS].uses() if node not in first.made]
    graph.insert_before(graph[0], first.made)
    for node, index in readers:
        node.replace_input_with(index, rotated)
    hidden = ir.node("GatherND", [last.inputs[0], rows], {"batch_dims": 1}, name="padding/back")
    hidden.outputs[0].name = "padding.hidden"
    graph.insert_before(last, hidden)
    last.replace_input_with(0, hidden.outputs[0])
    return model, True


class _Nodes:
    """Nodes of this pass, in order, named by their number."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph, self._numbers, self.made = graph, count(), list[ir.Node]()

    def node(self, operator: str, inputs: Sequence[ir.Value | None], **attributes: int) -> ir.Value:
        node = ir.node(operator, inputs, attributes, name=f"padding/{operator}.{next(self._numbers)}")
        node.outputs[0].name = node.name
        self.made.append(node)
        return node.outputs[0]

    def constant(self, name: str, number: int) -> ir.Value:
        return add_initializer(self._graph, f"padding.{name}", np.array([number], np.int64))

    def scalar(self, name: str, number: int) -> ir.Value:
        return add_initializer(self._graph, f"padding.{name}", np.array(number, np.int64))
