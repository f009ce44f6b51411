"""What model.pte holds besides its matrices, in bytes: constants exactly, program and delegates as counted."""

from smolship.checkpoint import Outline
from smolship.export.executorch.operators import OPERATORS_FILE
from smolship.export.executorch.pack import companions as tokenizer_files
from smolship.quantize.fit.sizes import rounded_up

__all__ = ["companions", "fixed_bytes"]

ALIGNMENT = 128
"""bytes that each segment starts at a multiple of"""
OPERATORS = 673
"""bytes of the list of operators in a file with a 4-bit embedding; six fewer with one of 8 bits"""

# What ExecuTorch 1.5.1 writes, counted in files of 1, 2, 3 and 12 layers: the same for every width, recipe and
# context but for some 500 bytes. Tests hold it against files that are exported.
PROGRAM, PROGRAM_LAYER = 9_134, 4_306
"""the program outside of the layers; a layer of it: values, calls, the keys of its weights, the map of its tensors"""
FIRST_DELEGATE, LAYER_DELEGATE, LAST_DELEGATES = 4_992, 8_192, 5_120 + 2_560
"""XNNPACK's graphs: up to the first cache, from cache to cache, and after the last one with the head"""

OWN_HEAD = -384
"""a head that is not tied: its line in the map of tensors, less what exchanges the columns of one that is"""


def companions(model: Outline, context: int) -> dict[str, bytes]:
    """The files beside the model file, by name; the list of operators as so many bytes of no meaning."""
    return tokenizer_files(model, context) | {OPERATORS_FILE: bytes(OPERATORS)}


def fixed_bytes(model: Outline, context: int) -> int:
    """The program, XNNPACK's graphs and every constant that is no matrix, each a segment."""
    a = model.architecture
    row = rounded_up(4 * a.hidden, ALIGNMENT)
    gains = (2 * a.layers + 1) * row
    rows = row + rounded_up(4 * a.intermediate, ALIGNMENT)  # of the mean; of the bound for 8-bit down projections
    halves = rounded_up(4 * a.head_dim**2, ALIGNMENT)  # the matrix that exchanges the halves of a head
    rotary = rounded_up(2 * a.head_dim, ALIGNMENT)  # a frequency in float32 for each pair
    columns = rounded_up(4 * context, ALIGNMENT)
    scalars = 4 * ALIGNMENT + 2 * rounded_up(4 * (a.heads + 2 * a.kv_heads), ALIGNMENT)  # and how heads are rotated
    program = rounded_up(PROGRAM + a.layers * PROGRAM_LAYER, ALIGNMENT)
    delegates = FIRST_DELEGATE + (a.layers - 1) * LAYER_DELEGATE + LAST_DELEGATES
    head = 0 if a.tied else OWN_HEAD
    return program + delegates + gains + rows + halves + rotary + columns + scalars + head
