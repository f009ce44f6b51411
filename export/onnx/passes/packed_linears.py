"""Linear layers that multiply the same activations become one, where their weights lie on one grid."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from smolship.checkpoint.architecture import Architecture
from smolship.export.onnx.passes import Pass
from smolship.export.onnx.passes.walk import STAND_IN, drop_unused, linears
from smolship.export.onnx.weights import add_initializer, joined

SIBLINGS = (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("mlp.gate_proj", "mlp.up_proj"))


def packed_linears(a: Architecture, grid_of: Callable[[str], object]) -> Pass:
    """The pass that packs q, k and v, and gate and up: one stand-in under their joined names, its rows theirs in order.

    `GroupQueryAttention` takes q, k and v as they come; gate and up are split. A multiplication quantises its
    activations anew and wakes the threads, some 10 µs beside its arithmetic. Tensors of different grids stay apart.
    """

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        changed, known = False, linears(model.graph)
        for i in range(a.layers):
            for names in SIBLINGS:
                tensors = [f"model.layers.{i}.{name}.weight" for name in names]
                changed |= _pack(model.graph, known, tensors, a, grid_of)
        if changed:
            drop_unused(model.graph)
        return model, changed

    return run


def _pack(
    graph: ir.Graph, known: dict[str, ir.Node], tensors: list[str], a: Architecture, grid_of: Callable[[str], object]
) -> bool:
    """Whether there were stand-ins for these tensors, of one input and one grid, and are one now."""
    if not known.keys() >= set(tensors) or len({grid_of(name) for name in tensors}) > 1:
        return False
    found = [known[name] for name in tensors]
    if len({node.inputs[0] for node in found}) > 1:
        return False
    first = next(node for name, node in known.items() if name in tensors)
    attributes = {"name": joined(tensors)}
    packed = ir.node("Linear", [first.inputs[0]], attributes, domain=STAND_IN, name=f"{first.name}.packed")
    graph.insert_before(first, packed)
    attention = found[0].outputs[0].consumers()[0]
    if attention.op_type == "GroupQueryAttention":
        for index, value in enumerate((packed.outputs[0], None, None)):
            attention.replace_input_with(index, value)
        return True
    _split(graph, packed, found, [a.shapes()[name][0] for name in tensors])
    return True


def _split(graph: ir.Graph, packed: ir.Node, apart: list[ir.Node], rows: list[int]) -> None:
    """The packed outputs, taken apart again for whoever read them apart."""
    sizes = add_initializer(graph, f"rows.{'.'.join(map(str, rows))}", np.array(rows, np.int64))
    split = ir.node(
        "Split", [packed.outputs[0], sizes], {"axis": -1}, name=f"{packed.name}/Split", num_outputs=len(apart)
    )
    graph.insert_after(packed, split)
    for node, part in zip(apart, split.outputs, strict=True):
        ir.convenience.replace_all_uses_with(node.outputs[0], part)
