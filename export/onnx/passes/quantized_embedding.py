"""The named embedding becomes `GatherBlockQuantized`, over the very initialiser that a tied head multiplies by."""

import numpy as np
import onnx_ir as ir

from smolship.export.onnx.packing import GROUP
from smolship.export.onnx.passes import Pass
from smolship.export.onnx.passes.walk import CONTRIB, STAND_IN
from smolship.export.onnx.weights import BlocksOf, add_blocks, add_initializer


def quantized_embedding(blocks_of: BlocksOf) -> Pass:
    """The pass that turns each `smolship::Embedding(ids)` into a gather of blocks; ids int64 [batch, sequence].

    `MatMulNBits` wants the codes as [vocabulary, hidden/32, bytes of a block]; `GatherBlockQuantized` takes the same
    three axes (gathering along the first, one block per last axis) if the scales have them too, and its output
    [batch, sequence, hidden/32, 32] is reshaped to [batch, sequence, hidden].
    """

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        found = [node for node in model.graph if node.domain == STAND_IN and node.op_type == "Embedding"]
        for node in found:
            _replace(model, node, blocks_of)
        if found:
            model.opset_imports[CONTRIB] = 1
        return model, bool(found)

    return run


def _replace(model: ir.Model, node: ir.Node, blocks_of: BlocksOf) -> None:
    graph = model.graph
    tensor = node.attributes["name"].as_string()
    stored = add_blocks(model, tensor, blocks_of, before=node)
    rows, groups = stored.rows, stored.row // GROUP
    scales_shape = add_initializer(graph, f"{tensor}.scales.shape", np.array([rows, groups, 1], np.int64))
    output_shape = add_initializer(graph, f"{tensor}.row.shape", np.array([0, 0, groups * GROUP], np.int64))
    scales_3d = ir.node("Reshape", [stored.scales, scales_shape], name=f"{node.name}/scales")
    apart = [] if stored.zero_points is None else _zero_points_apart(graph, stored.zero_points, groups, node)
    gather = ir.node(
        "GatherBlockQuantized",
        [stored.codes, node.inputs[0], scales_3d.outputs[0], *(last.outputs[0] for last in apart[-1:])],
        {"gather_axis": 0, "quantize_axis": 2, "block_size": GROUP, "bits": stored.bits},
        domain=CONTRIB,
        name=f"{node.name}/gather",
    )
    rows_node = ir.node("Reshape", [gather.outputs[0], output_shape], name=f"{node.name}/row")
    new = [scales_3d, *apart, gather, rows_node]
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, [node.outputs[0]], [rows_node.outputs[0]])


def _zero_points_apart(graph: ir.Graph, packed: ir.Value, groups: int, embedding: ir.Node) -> list[ir.Node]:
    """The nodes whose last one has a zero point a byte, uint8 [rows, groups, 1], of those packed for a product.

    `GatherBlockQuantized` packs along the last axis, which holds one group here. ONNX Runtime folds these nodes when
    it loads the model; the file has the packed ones alone.
    """
    name = embedding.name

    def constant(what: str, *numbers: int, dtype: type[np.generic] = np.int64) -> ir.Value:
        return add_initializer(graph, f"{packed.name}.{what}", np.array(numbers, dtype))

    column = ir.node("Unsqueeze", [packed, constant("axis", 2)], name=f"{name}/zero_points")
    low = ir.node(
        "BitwiseAnd", [column.outputs[0], constant("mask", 15, dtype=np.uint8)], name=f"{name}/zero_points/low"
    )
    by = {"direction": "RIGHT"}
    high = ir.node(
        "BitShift", [column.outputs[0], constant("shift", 4, dtype=np.uint8)], by, name=f"{name}/zero_points/high"
    )
    pairs = ir.node("Concat", [low.outputs[0], high.outputs[0]], {"axis": 2}, name=f"{name}/zero_points/pairs")
    apart = ir.node("Reshape", [pairs.outputs[0], constant("shape", 0, -1, 1)], name=f"{name}/zero_points/apart")
    if groups % 2 == 0:
        return [column, low, high, pairs, apart]
    ends = [constant("first", 0), constant("end", groups), constant("groups_axis", 1)]
    cut = ir.node("Slice", [apart.outputs[0], *ends], name=f"{name}/zero_points/cut")
    return [column, low, high, pairs, apart, cut]
