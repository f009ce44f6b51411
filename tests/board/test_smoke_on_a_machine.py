"""Smoke on emulated computers of little memory: what does not fit is killed by their kernel, and that is a verdict."""

from pathlib import Path

import pytest
from kept_results import kept_results
from unavailable import skipped_if_unavailable

from board.machine import open_machine
from board.tree import Tree
from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.runtime_checks.check_artefact import Settings
from smolship.targets import Access, load_target
from smolship.workflows.build import Order, build
from smolship.workflows.places import over_ssh
from smolship.workflows.smoke import Smoke, Smoked, smoke, workload_for, worst_exit

pytestmark = [pytest.mark.machine, pytest.mark.real]

TARGET = """
name = "small"
title = "a small computer"
[device]
architecture = "aarch64"
runtimes = ["gguf", "onnx"]
[[budget]]
metric = "peak_memory"
limit = "<= 500 MB"
source = "a small computer's"
"""


@pytest.fixture(scope="module")
def artefact(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The real model in 8 bits, on the runtime that takes most memory."""
    order = Order(recipes=("q8",), formats=("onnx",))
    return build(embedded_checkpoint, tmp_path_factory.mktemp("artefacts"), order)[0].artefact


def run_there(tree: Tree, folder: Path, memory: str, artefact: Artefact, checkpoint: Checkpoint) -> Smoked:
    """A brief smoke test on a computer with so much memory; nothing of it is left running there."""
    (folder / "small.toml").write_text(TARGET)
    order = Smoke.of(
        [artefact], checkpoint, Settings(threads=1, repeats=1), workload_for(brief=True, sustained=0), "prose", None
    )
    with skipped_if_unavailable():
        opened = open_machine(tree, folder / "machine", memory=memory)
    with opened as board, kept_results():
        access = Access(config=board.ssh_config, known_hosts=board.known_hosts)
        place = over_ssh("small", "board", load_target(str(folder / "small.toml")), access)
        (result,) = smoke([artefact], checkpoint, [place], order, here=Settings(threads=2))
        assert board.run("pgrep -c python3").stdout.strip() == "0"
    return result


def test_what_does_not_fit_is_killed_there_and_that_is_its_verdict(
    tree: Tree, embedded_checkpoint: Checkpoint, artefact: Artefact, tmp_path: Path
) -> None:
    result = run_there(tree, tmp_path, "320M", artefact, embedded_checkpoint)
    assert result.error is None
    assert result.report is not None
    (one,) = result.report.checked
    assert one.judged[0].outcome == "failed to run"
    assert one.records[0].failure is not None
    assert one.records[0].failure.signal == "SIGKILL"
    assert "the system ran out of memory" in one.records[0].failure.message
    assert worst_exit([result]) == 3


def test_with_half_as_much_again_it_runs(
    tree: Tree, embedded_checkpoint: Checkpoint, artefact: Artefact, tmp_path: Path
) -> None:
    result = run_there(tree, tmp_path, "512M", artefact, embedded_checkpoint)
    assert result.error is None
    assert result.report is not None
    (one,) = result.report.checked
    assert one.judged[0].outcome == "pass"
    assert [answer.right for answer in one.records[0].answers] == [True]
