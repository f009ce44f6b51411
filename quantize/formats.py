"""Which grid each width is in each format: the table that `export` obeys. A width that a format lacks is an error."""

from smolship.errors import InputError, unknown_name
from smolship.quantize.grids import Grid, grid_named

FORMAT_GRIDS: dict[str, dict[str, str]] = {
    # XNNPACK has no 8-bit groups, and refuses the signed scales of q4_0.
    "gguf": {"int4": "int4-b32", "int8": "int8-b32", "q4_0": "q4_0"},
    "onnx": {"int4": "int4-b32", "int8": "int8-b32", "q4_0": "q4_0"},
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
