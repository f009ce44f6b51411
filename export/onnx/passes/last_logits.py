"""The head runs on the last position only."""

import numpy as np
import onnx_ir as ir

from smolship.export.onnx.passes.walk import head
from smolship.export.onnx.weights import add_initializer

LOGITS_FROM = "logits_from"
"""the initialiser that says which position is the first to get logits: int64 [1], -1 in the file"""


def last_logits(model: ir.Model) -> tuple[ir.Model, bool]:
    """Slice the head's input [batch, sequence, hidden] to the positions from `logits_from` on.

    Generation needs the last position's logits alone: a prefill of 512 then computes 49,152 logits in place of 25
    million. Who wants them all (a fidelity check) loads the same file with `logits_from` set to [0] through
    `SessionOptions.add_initializer`. An optional graph input would do too, but each client's load would warn of it.
    """
    graph = model.graph
    last = head(graph)
    if last is None or LOGITS_FROM in graph.initializers:
        return model, False
    start = add_initializer(graph, LOGITS_FROM, np.array([-1], np.int64))
    end = add_initializer(graph, "logits.end", np.array([np.iinfo(np.int64).max], np.int64))
    axis = add_initializer(graph, "logits.axis", np.array([1], np.int64))
    cut = ir.node("Slice", [last.inputs[0], start, end, axis], name="/lm_head/last")
    cut.outputs[0].name = "/lm_head/last_output_0"
    graph.insert_before(last, cut)
    last.replace_input_with(0, cut.outputs[0])
    return model, True
