"""The outputs get their shapes: what tracing could not know about the stand-in nodes."""

import onnx_ir as ir

from smolship.checkpoint.architecture import Architecture
from smolship.export.onnx.passes import Pass

BATCH = "batch_size"
TOTAL = "past_sequence_length + sequence_length"
"""Optimum's name of that axis, which its clients compute from the inputs"""


def declare_outputs(a: Architecture) -> Pass:
    """The pass that declares logits [batch, 1, vocabulary] and present.N [batch, kv heads, total, head_dim]."""

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        changed = False
        for value in model.graph.outputs:
            logits = value.name == "logits"
            shape = ir.Shape((BATCH, 1, a.vocabulary) if logits else (BATCH, a.kv_heads, TOTAL, a.head_dim))
            if value.shape != shape:
                value.shape = shape
                changed = True
        return model, changed

    return run
