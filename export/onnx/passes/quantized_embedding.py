"""The named embedding becomes `GatherBlockQuantized` over the very initialiser that the tied head multiplies by."""

import numpy as np
import onnx_ir as ir

from smolship.export.onnx.packing import GROUP
from smolship.export.onnx.passes import Pass
from smolship.export.onnx.weights import BlocksOf, add_blocks, add_initializer


def quantized_embedding(blocks_of: BlocksOf) -> Pass:
    """The pass that turns each `smolship::Embedding(ids)` into a gather of blocks; ids int64 [batch, sequence].

    `MatMulNBits` wants the codes as [vocabulary, hidden/32, bytes of a block]; `GatherBlockQuantized` takes the same
    three axes (gathering along the first, one block per last axis) if the scales have them too, and its output
    [batch, sequence, hidden/32, 32] is reshaped to [batch, sequence, hidden].
    """

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        found = [node for node in model.graph if node.domain == "smolship" and node.op_type == "Embedding"]
        for node in found:
            _replace(model, node, blocks_of)
        if found:
            model.opset_imports["com.microsoft"] = 1
        return model, bool(found)

    return run


def _replace(model: ir.Model, node: ir.Node, blocks_of: BlocksOf) -> None:
    graph = model.graph
    tensor = node.attributes["name"].as_string()
    blocks = blocks_of(tensor)
    codes, scales, bits = add_blocks(model, tensor, blocks, before=node)
    rows, groups = blocks.scales.shape
    scales_shape = add_initializer(graph, f"{tensor}.scales.shape", np.array([rows, groups, 1], np.int64))
    output_shape = add_initializer(graph, f"{tensor}.row.shape", np.array([0, 0, groups * GROUP], np.int64))
    scales_3d = ir.node("Reshape", [scales, scales_shape], name=f"{node.name}/scales")
    gather = ir.node(
        "GatherBlockQuantized",
        [codes, node.inputs[0], scales_3d.outputs[0]],
        {"gather_axis": 0, "quantize_axis": 2, "block_size": GROUP, "bits": bits},
        domain="com.microsoft",
        name=f"{node.name}/gather",
    )
    rows_node = ir.node("Reshape", [gather.outputs[0], output_shape], name=f"{node.name}/row")
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], [scales_3d, gather, rows_node], [node.outputs[0]], [rows_node.outputs[0]]
    )
