"""The zoo's members as folders, each unpacked once a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smolship.checkpoint import Checkpoint, open_checkpoint
from zoo.table import Member, unpack

Place = Callable[[str], Path]
Open = Callable[[Member], Checkpoint]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the files of a member as it was saved are; tests must not write there."""
    root = tmp_path_factory.mktemp("zoo")

    def at(name: str) -> Path:
        return root / name if (root / name).is_dir() else unpack(name, root / name)

    return at


@pytest.fixture(scope="session")
def opened(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Opens a member, changed as the table says."""

    def checkpoint(member: Member) -> Checkpoint:
        if member.change is None:
            folder = place(member.name)
        else:
            folder = unpack(member.made_from or member.name, tmp_path_factory.mktemp("changed") / member.name)
            member.change(folder)
        gguf = folder / "model.gguf"
        return open_checkpoint(str(gguf if gguf.is_file() else folder))

    return checkpoint
