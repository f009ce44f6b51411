"""What checks of the tiny artefact need, made once a run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.reference import Reference
from smolship.runtime_checks.windows import ReferenceWindows, reference_windows, windows


@pytest.fixture(scope="session")
def tiny_reference(tiny_checkpoint: Checkpoint) -> Iterator[ReferenceWindows]:
    """The reference over three windows of 200 tokens."""
    text = windows(tiny_checkpoint.tokenizer, count=3, length=200)
    described = "the same checkpoint in fp32"
    with reference_windows(lambda: Reference.from_checkpoint(tiny_checkpoint), text, described) as reference:
        yield reference


@pytest.fixture
def copied_artefact(tiny_artefact: Artefact, tmp_path: Path) -> Artefact:
    """The tiny artefact in a folder of its own, to be damaged."""
    folder = tmp_path / "artefact with a space"
    shutil.copytree(tiny_artefact.folder, folder)
    return Artefact(folder, tiny_artefact.manifest)
