"""What model.onnx holds besides its matrices, in bytes: norms exactly, the graph as its nodes were counted."""

from smolship.checkpoint import Outline
from smolship.export.onnx.pack import companions

__all__ = ["companions", "fixed_bytes"]

# The fused graph (opset 18), counted in files of 1, 2, 3, 10, 12 and 30 layers at 4 and 8 bits. Widths and the context
# are numbers of a byte or two in it; tests hold it against graphs that are traced.
OUTSIDE = 4_840
"""what stands once: lengths, padding, rotary tables, embedding, head, inputs and outputs, the operators' domains"""
LAYER = 6_890
"""a layer: 10 nodes and the casts of scales, with their names and inputs' names, its initialisers' names and lengths"""
DIGIT = 128
"""a second digit of a layer's number, which stands in nearly every name"""

OWN_HEAD = 275
"""a head that is not tied: its initialisers' names and the cast of its scales"""


def fixed_bytes(model: Outline, context: int) -> int:  # noqa: ARG001  (the graph takes any length)
    """The graph and the norms' gains."""
    a = model.architecture
    gains = sum(4 * shape[0] for shape in a.shapes().values() if len(shape) == 1)
    head = 0 if a.tied else OWN_HEAD
    return OUTSIDE + head + a.layers * LAYER + max(0, a.layers - 10) * DIGIT + gains
