"""`Blocks` to one file: a module a format, and the literal table of them."""
