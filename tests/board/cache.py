"""What tests fetch and make once and keep for the next run: folders in a cache, named by what made them."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE_VARIABLE = "SMOLSHIP_TEST_CACHE"
"""names the folder that all is kept in, instead of ~/.cache/smolship-tests"""


def cache_root() -> Path:
    """The folder that all of it is kept in."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "smolship-tests")


def kept(name: str, sources: Sequence[str], make: Callable[[Path, Path], None]) -> Path:
    """The folder that `make(folder, work)` filled, from the cache or made now; `work` holds what is not kept.

    `sources` are the files of code that decide what is made: when one changes, it is made anew. It is made beside its
    place and renamed into it: a folder of this name is whole, whoever else makes one meanwhile.
    """
    key = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()[:12]
    cache = cache_root()
    place = cache / f"{name}-{key}"
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as work:
            made = Path(work) / "made"
            made.mkdir()
            make(made, Path(work))
            _settle(made, place)
    return place


def _settle(made: Path, place: Path) -> None:
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():  # somebody else's folder of the same key is as good
            raise
