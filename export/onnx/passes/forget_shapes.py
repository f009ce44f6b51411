"""Sizes that tracing made up are forgotten, and ONNX Runtime infers them when it loads the model."""

import onnx_ir as ir


def forget_shapes(model: ir.Model) -> tuple[ir.Model, bool]:
    """Drop the shapes of values in between that have a dimension which no input of the graph has.

    The tracer gave each stand-in's output dimensions of their own (`Linear/..._dim_0`). Taken at their word, no two
    values have one size, and ONNX Runtime reuses no buffer: measured, decoding is some per cent slower.
    """
    known = {dim for value in model.graph.inputs for dim in _names(value)}
    outputs, changed = set(model.graph.outputs), False
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value not in outputs and not _names(value) <= known:
                value.shape, changed = None, True
    return model, changed


def _names(value: ir.Value) -> set[str | None]:
    """The dimensions of a value that have names instead of numbers."""
    return {dim.value for dim in value.shape or () if isinstance(dim, ir.SymbolicDim)}
