"""What tracing said of the values in between is forgotten, and ONNX Runtime infers it when it loads the model."""

import onnx_ir as ir


def forget_shapes(model: ir.Model) -> tuple[ir.Model, bool]:
    """Drop the shapes and types of values that are neither inputs nor outputs of the graph.

    The tracer gave each stand-in's output dimensions of their own (`Linear/..._dim_0`). Taken at their word, no two
    values have one size, and ONNX Runtime reuses no buffer: measured, decoding is some per cent slower and a prompt
    takes more memory.
    """
    outputs, changed = set(model.graph.outputs), False
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value not in outputs and (value.shape is not None or value.type is not None):
                value.shape, value.type, changed = None, None, True
    return model, changed
