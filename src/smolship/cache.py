"""Where what is costly to make is kept between runs."""

import os
from pathlib import Path

CACHE_VARIABLE = "SMOLSHIP_CACHE"


def cache_folder() -> Path:
    """`$SMOLSHIP_CACHE`, else `smolship` in the user's cache folder (XDG base directory specification)."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smolship"
