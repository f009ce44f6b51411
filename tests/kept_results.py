"""Results that outlive a run of the tests: what takes minutes is made once, not for every session's own cache.

They are found by their content and by the code that makes them: kits, for which llama.cpp is compiled, and the embedded
checkpoint's calibrated codes. tests/quantize/test_real_calibration.py has what is never taken from there.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from board.cache import cache_root

from smolship.cache import CACHE_VARIABLE
from smolship.runtime_checks.kits.kit import kit_for
from smolship.runtime_checks.kits.platform import Platform


def results_cache() -> Path:
    """What `SMOLSHIP_CACHE` is for whoever takes them."""
    return cache_root() / "smolship"


@contextmanager
def kept_results() -> Iterator[None]:
    """Within this, they come from there and are kept there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(results_cache()))
        yield


def unpacked_kit(format_name: str, platform: Platform, folder: Path) -> Path:
    """The kit as a device unpacks it, in `folder`."""
    with kept_results():
        kit = kit_for(format_name, platform)
    with tarfile.open(kit.archive) as packed:
        packed.extractall(folder, filter="tar")
    return folder
