"""What model.pte holds besides its matrices, in bytes: constants exactly, program and delegates as counted."""

from smolship.checkpoint import Outline
from smolship.export.executorch.operators import OPERATORS_FILE
from smolship.export.executorch.pack import companions as tokenizer_files
from smolship.quantize.fit.sizes import rounded_up

__all__ = ["companions", "fixed_bytes"]

ALIGNMENT = 128
"""bytes that each segment starts at a multiple of"""
OPERATORS = 651
"""bytes of the list of operators in a file with a 4-bit embedding; six fewer with one of 8 bits"""

# What ExecuTorch 1.5.1 writes, counted in files of 1, 2, 3 and 12 layers: the same for every width, recipe and
# context but for some 500 bytes. Tests hold it against files that are exported.
PROGRAM, PROGRAM_LAYER = 9_100, 4_804
"""the program outside of the layers; a layer of it: values, calls, the keys of its weights, the map of its tensors"""
FIRST_DELEGATE, LAYER_DELEGATE, LAST_DELEGATES = 5_760, 8_960, 4_864 + 3_200
"""XNNPACK's graphs: up to the first cache, from cache to cache, and after the last one with the head"""


def companions(model: Outline, context: int) -> dict[str, bytes]:
    """The files beside the model file, by name; the list of operators as so many bytes of no meaning."""
    return tokenizer_files(model, context) | {OPERATORS_FILE: bytes(OPERATORS)}


def fixed_bytes(model: Outline, context: int) -> int:
    """The program, XNNPACK's graphs and every constant that is no matrix, each a segment."""
    a = model.architecture
    row = rounded_up(4 * a.hidden, ALIGNMENT)
    gains = (2 * a.layers + 1) * row
    # of the mean, and of the bounds between a row's two parts; the longer one is there in files with 8 bits alone
    rows = 2 * row + rounded_up(4 * a.intermediate, ALIGNMENT)
    halves = rounded_up(4 * a.head_dim**2, ALIGNMENT)  # the matrix that exchanges the halves of a head
    rotary = rounded_up(2 * a.head_dim, ALIGNMENT)  # a frequency in float32 for each pair
    columns = rounded_up(4 * context, ALIGNMENT)
    scalars = 3 * ALIGNMENT
    program = rounded_up(PROGRAM + a.layers * PROGRAM_LAYER, ALIGNMENT)
    delegates = FIRST_DELEGATE + (a.layers - 1) * LAYER_DELEGATE + LAST_DELEGATES
    return program + delegates + gains + rows + halves + rotary + columns + scalars
