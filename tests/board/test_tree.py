"""The board's tree in its cache, and what tests make of a machine that cannot have one."""

import shutil
from pathlib import Path

import pytest
from unavailable import NO_SKIP, Unavailable, skipped_if_unavailable

from board.cache import CACHE_VARIABLE
from board.tree import Tree, board_tree


@pytest.mark.usefixtures("tree")
def test_what_is_missing_is_said_and_nothing_half_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match=r"^apt-get is not here, .*: install it$"):
        board_tree()
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_is_there_is_taken_as_it_is(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert shutil.which("apt-get") is None
    assert board_tree() == tree


def test_what_cannot_be_had_is_skipped_or_fails_where_nothing_may_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NO_SKIP, raising=False)
    with pytest.raises(pytest.skip.Exception, match="the reason"), skipped_if_unavailable():
        raise Unavailable("the reason")
    monkeypatch.setenv(NO_SKIP, "1")
    with pytest.raises(Unavailable, match="the reason"), skipped_if_unavailable():
        raise Unavailable("the reason")
