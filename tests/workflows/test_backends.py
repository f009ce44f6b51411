"""Artefacts for a backend that no host has: built, kept, told apart, and checked for what can be."""

from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.runtime_checks.check_artefact import Settings
from smolship.targets import Goal
from smolship.workflows.build import Order, build
from smolship.workflows.chat import Chat, Sampling
from smolship.workflows.check import check, prepare
from smolship.workflows.fit import fit
from smolship.workflows.gate import gate_of
from smolship.workflows.identity import prove_identical

pytestmark = pytest.mark.slow

ORDER = Order(("q4",), ("executorch",), 512, backend="coreml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("one") / "One", num_hidden_layers=1)))


@pytest.fixture(scope="module")
def artefact(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    out = tmp_path_factory.mktemp("coreml")
    first, again = build(checkpoint, out, ORDER)[0], build(checkpoint, out, ORDER)[0]
    assert (first.kept, again.kept) == (False, True)
    return again.artefact


def test_its_folder_and_manifest_name_the_backend(artefact: Artefact) -> None:
    assert artefact.folder.name == "One-q4-executorch-coreml"
    assert artefact.manifest.backend is not None
    assert artefact.manifest.backend.title == "Core ML"
    assert "coremltools" in artefact.manifest.versions
    assert "Core ML is not run here" in (artefact.folder / "README.md").read_text()


def test_its_integers_are_those_of_another_format(artefact: Artefact, checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = build(checkpoint, tmp_path, Order(("q4",), ("gguf",), 512))[0].artefact
    proved = prove_identical([artefact, other])
    assert [str(one) for one in proved] == ["q4: 8 tensors hold the same integers on int4-b32 in executorch, gguf"]


@pytest.mark.parametrize(("allow", "outcome"), [(False, "not measured"), (True, "pass")])
def test_a_check_measures_its_size_and_says_why_nothing_else(
    artefact: Artefact, checkpoint: Checkpoint, *, allow: bool, outcome: str
) -> None:
    gate = gate_of(["host"], ["model_size <= 1 MB"], allow_unmeasured=allow)
    chosen = prepare(checkpoint, ("executorch",), 512, "prose")
    made = gate.judge(check([artefact], checkpoint, chosen, Settings(1)))
    assert made.outcomes == {outcome}
    verdicts = {one.metric: one for one in made.checked[0].judged[0].verdicts}
    assert verdicts["model_size"].outcome == "pass"
    assert verdicts["decode"].outcome == "not measured"
    assert verdicts["decode"].shown.startswith("Core ML is not run here")
    assert {one.outcome for name, one in verdicts.items() if "size" not in name} == {"not measured"}


def test_it_is_refused_where_it_would_have_to_run(artefact: Artefact) -> None:
    with pytest.raises(InputError, match="Core ML is not run here"):
        Chat(artefact, 1, Sampling())


def test_fitting_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    order = Order((), ("executorch",), 512, backend="vulkan", goals=lambda *_: Goal("1 MB", model_bytes=1_000_000))
    with pytest.raises(InputError, match="give --recipe with --backend vulkan"):
        fit(checkpoint, tmp_path, order)
