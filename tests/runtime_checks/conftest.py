"""A tiny artefact, and what its checks need, made once a run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.reference import Reference
from smolship.runtime_checks.windows import ReferenceWindows, reference_windows, windows
from smolship.workflows.build import Order, build


@pytest.fixture(scope="session")
def tiny_artefact(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The tiny model as an 8-bit GGUF for a context of 1,024 tokens; tests must not write into it."""
    out = tmp_path_factory.mktemp("artefacts")
    return build(tiny_checkpoint, out, Order(recipes=("q8",), formats=("gguf",), context=1024))[0].artefact


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
