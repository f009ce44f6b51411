"""Every grid, a literal line each; which formats take it is in `formats.FORMAT_GRIDS`."""

from smolship.errors import unknown_name
from smolship.quantize.grids.grid import Grid, Offset
from smolship.quantize.grids.scales import ScaleFormat

# `kvalues_iq4nl` of ggml/src/ggml-common.h: dense near zero, where most weights are.
IQ4_NL_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

_HALF = ScaleFormat.FLOAT16
_SHARED = ScaleFormat.BFLOAT16_IN_FLOAT16

GRIDS: dict[str, Grid] = {
    grid.name: grid
    for grid in (
        Grid("int4-b32", 4, -8, 7, 32, _SHARED, "the 4-bit grid that all three formats share"),
        Grid("int8-b32", 8, -127, 127, 32, _HALF, "8 bits in blocks, for GGUF Q8_0 and ONNX MatMulNBits"),
        Grid(
            "int8-row", 8, -127, 127, None, ScaleFormat.FLOAT32, "8 bits per output channel, the only 8 bits of XNNPACK"
        ),
        Grid("q4_0", 4, -8, 7, 32, _HALF, "llama.cpp's own rounding: signed scales, max / -8"),
        Grid("q4_1", 4, 0, 15, 32, _HALF, "GGUF: 4 bits between a minimum and a maximum", Offset.MINIMUM),
        Grid("q5_0", 5, -16, 15, 32, _HALF, "GGUF: 5 bits, signed scales"),
        Grid("q5_1", 5, 0, 31, 32, _HALF, "GGUF: 5 bits between a minimum and a maximum", Offset.MINIMUM),
        Grid("iq4_nl", 4, 0, 15, 32, _HALF, "GGUF: 16 uneven levels, denser near zero", uneven_levels=IQ4_NL_LEVELS),
        Grid("q4_k", 4, 0, 15, 32, _HALF, "GGUF: minimums ≤ 0", Offset.MINIMUM, super_group=256, factor_high=63),
        Grid("q5_k", 5, 0, 31, 32, _HALF, "GGUF: minimums ≤ 0", Offset.MINIMUM, super_group=256, factor_high=63),
        Grid("q6_k", 6, -32, 31, 16, _HALF, "GGUF: signed scales", super_group=256, factor_low=-128, factor_high=127),
        Grid("uint4-b32", 4, 0, 15, 32, _HALF, "ONNX: 4 bits and a zero point", Offset.ZERO_POINT),
    )
}

FLOAT32_BITS = 32.0


def grid_named(name: str) -> Grid:
    """The grid of that name; `InputError` lists the known ones."""
    if name not in GRIDS:
        raise unknown_name("grid", name, list(GRIDS))
    return GRIDS[name]
