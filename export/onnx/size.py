"""What model.onnx holds besides its matrices, in bytes: norms exactly, the graph as its nodes were counted."""

from smolship.checkpoint import Outline
from smolship.export.onnx.pack import companions

__all__ = ["companions", "fixed_bytes"]

# The graph that Optimum 2.1.0 traces with transformers 4.57 (opset 18), counted in files of 1, 2, 3, 12 and 30 layers.
# Widths and the context are numbers of a byte or two in it; tests hold it against graphs that are traced.
OUTSIDE = 16_400
"""what stands once: positions, mask, embedding, head, inputs and outputs, the operators' domains"""
LAYER = 31_300
"""a layer: 190 nodes with their names and inputs' names, the values' shapes, its initialisers' names and lengths"""
REPEATED = 14_200
"""a layer with fewer key-value heads than heads: 44 nodes that repeat them"""
DIGIT = 970
"""a second digit of a layer's number, which stands in nearly every name"""


def fixed_bytes(model: Outline, context: int) -> int:  # noqa: ARG001  (the graph takes any length)
    """The graph and the norms' gains."""
    a = model.architecture
    gains = sum(4 * shape[0] for shape in a.shapes().values() if len(shape) == 1)
    layer = LAYER + (REPEATED if a.kv_heads < a.heads else 0)
    return OUTSIDE + a.layers * layer + max(0, a.layers - 10) * DIGIT + gains
