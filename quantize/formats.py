"""Which grid each width is in each format: the table that `export` obeys. A width that a format lacks is an error."""

from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.errors import InputError, unknown_name
from smolship.quantize.grids import Grid, grid_named
from smolship.quantize.recipes import Recipe

FORMAT_GRIDS: dict[str, dict[str, str]] = {
    "gguf": {
        "int4": "int4-b32",
        "int8": "int8-b32",
        "q4_0": "q4_0",
        "q4_1": "q4_1",
        "q5_0": "q5_0",
        "q5_1": "q5_1",
        "iq4_nl": "iq4_nl",
        "q4_k": "q4_k",
        "q5_k": "q5_k",
        "q6_k": "q6_k",
    },
    "onnx": {"int4": "int4-b32", "int8": "int8-b32", "q4_0": "q4_0", "uint4": "uint4-b32"},
    # XNNPACK has no 8-bit groups, and refuses the signed scales of q4_0.
    "executorch": {"int4": "int4-b32", "int8": "int8-row"},
}


def grid_for(tensor: str, width: str, format_name: str) -> Grid:
    """The grid that `width` is in a format; `InputError` names the tensor and lists the widths that format has."""
    if format_name not in FORMAT_GRIDS:
        raise unknown_name("format", format_name, list(FORMAT_GRIDS))
    widths = FORMAT_GRIDS[format_name]
    if width not in widths:
        raise InputError(
            f"{tensor}: the recipe asks for {width}, which {format_name} does not have; it has {', '.join(widths)}"
        )
    return grid_named(widths[width])


def grid_of(recipe: Recipe, tensor: str, row: int, format_name: str) -> Grid:
    """The grid of a matrix with rows of so many weights under a recipe in a format.

    `InputError` if the format lacks it or its group does not divide a row.
    """
    grid = grid_for(tensor, recipe.embedding if tensor in (EMBEDDING, HEAD) else recipe.linear, format_name)
    grid.group_of(tensor, row)
    return grid
