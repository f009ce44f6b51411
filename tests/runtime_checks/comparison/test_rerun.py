"""Two files in turns: the tiny artefact against itself on its real runtime, and a file that does not load."""

import shutil
import sys
from pathlib import Path

import pytest

from smolship.artefact import Artefact
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.comparison import Rerun, measure_in_turns
from smolship.runtime_checks.comparison.comparable import IN_TURNS
from smolship.runtime_checks.verdicts import values

pytestmark = pytest.mark.slow

ROUNDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("turns")


@pytest.fixture(scope="module")
def turns(tiny_artefact: Artefact, folder: Path) -> Rerun:
    """Three rounds; the interpreter writes down where it is started, and then is the real one."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nbasename "$PWD" >> {folder}/order\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    settings = Settings(threads=1, python=str(python))
    return measure_in_turns(tiny_artefact, tiny_artefact, ROUNDS, settings, lambda *_: None)


def test_the_sides_take_turns(turns: Rerun, folder: Path) -> None:
    assert turns.failure == ""
    assert (folder / "order").read_text().split() == ["old", "new", "new", "old", "old", "new"]


def test_every_round_measures_each_speed_and_memory_once(turns: Rerun) -> None:
    for side in (turns.old, turns.new):
        assert len(side) == ROUNDS
        for one in side:
            found = values(one)
            assert all(found[name] for name in (*IN_TURNS, "peak_memory"))
            assert one.decode is not None
            assert len(one.decode.seconds) == 1
    conditions = turns.conditions
    assert conditions is not None
    assert (conditions.rounds, conditions.threads, len(conditions.load)) == (ROUNDS, 1, 2 * ROUNDS)
    assert "llama.cpp" in conditions.runtime


def test_a_file_that_does_not_load_is_a_result(tiny_artefact: Artefact, tmp_path: Path) -> None:
    broken = Artefact(Path(shutil.copytree(tiny_artefact.folder, tmp_path / "broken")), tiny_artefact.manifest)
    broken.model_path.write_bytes(b"GGUF" + bytes(100))
    made = measure_in_turns(tiny_artefact, broken, ROUNDS, Settings(threads=1), lambda *_: None)
    assert made.failure.startswith("the new file failed in round 1, at load: ")
    assert (made.old, made.conditions) == ((), None)
