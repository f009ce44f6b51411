"""The named stand-ins over float32 weights: the graph that the fused one is proved with against Optimum's own."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from smolship.export.onnx.passes import Pass
from smolship.export.onnx.passes.walk import STAND_IN
from smolship.export.onnx.weights import add_initializer, parted


def float_weights(read: Callable[[str], NDArray[np.float32]]) -> Pass:
    """The pass that turns `smolship::Linear(x)` into `MatMul` and `smolship::Embedding(ids)` into `Gather`.

    `read` gives a tensor by its Hugging Face name, float32 [out, in].
    """

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        graph = model.graph
        found = [node for node in graph if node.domain == STAND_IN]
        for node in found:
            name = node.attributes["name"].as_string()
            if node.op_type == "Embedding":
                new = ir.node("Gather", [add_initializer(graph, name, read(name)), node.inputs[0]], name=node.name)
            else:
                weight = np.concatenate([read(tensor) for tensor in parted(name)])
                columns = add_initializer(graph, f"{name}.columns", np.ascontiguousarray(weight.T))
                new = ir.node("MatMul", [node.inputs[0], columns], name=node.name)
            ir.convenience.replace_nodes_and_values(graph, node, [node], [new], [node.outputs[0]], [new.outputs[0]])
        return model, bool(found)

    return run
