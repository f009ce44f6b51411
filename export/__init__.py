"""`Blocks` to files: one module a format, and the table of them."""

from smolship.export.formats import FORMATS, Format, format_named

__all__ = ["FORMATS", "Format", "format_named"]
