"""Kits that outlive a run of the tests: llama.cpp is compiled for a board once, not for every session's own cache."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from board.cache import cache_root

from smolship.cache import CACHE_VARIABLE
from smolship.runtime_checks.kits.kit import kit_for
from smolship.runtime_checks.kits.platform import Platform


def kits_cache() -> Path:
    """What `SMOLSHIP_CACHE` is for whoever takes a real kit; its kits are found by their content."""
    return cache_root() / "smolship"


@contextmanager
def kept_kits() -> Iterator[None]:
    """Within this, kits come from there and are kept there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(kits_cache()))
        yield


def unpacked_kit(format_name: str, platform: Platform, folder: Path) -> Path:
    """The kit as a device unpacks it, in `folder`."""
    with kept_kits():
        kit = kit_for(format_name, platform)
    with tarfile.open(kit.archive) as packed:
        packed.extractall(folder, filter="tar")
    return folder
