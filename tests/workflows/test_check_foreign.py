"""Files that other tools made, checked like ours: measured, judged, and nothing written beside them."""

from pathlib import Path

import pytest
from in_process import run
from other_tools import exported_by_optimum, quantised_by_llama_cpp, snapshot, write_program
from tiny import write_tiny_checkpoint
from tiny_genai import write_tiny_genai

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.foreign import open_artefact
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.verdicts import judge
from smolship.targets import load_target
from smolship.workflows.check import bind, check, open_source, prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shelf(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is to be checked, by who made it."""
    folder = tmp_path_factory.mktemp("shelf")
    return {
        "llama.cpp": quantised_by_llama_cpp(folder),
        "optimum": exported_by_optimum(tiny_folder, folder / "optimum"),
        "genai": _with_template(write_tiny_genai(folder / "genai", context_length=640), "{% for"),
        "program": write_program(folder / "program", every=False),
    }


def _with_template(folder: Path, template: str) -> Path:
    """The folder with a chat template in a file of its own, which goes before the tokenizer's."""
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture(scope="module")
def measured(shelf: dict[str, Path], tiny_folder: Path) -> dict[str, Measurements]:
    """One check of all of them, and of their folders before and after."""
    folder = shelf["llama.cpp"].parent.parent
    before = snapshot(folder)
    opened = [open_artefact(path, 640) for path in shelf.values()]
    source = open_source(opened, str(tiny_folder), None)
    bound = bind(opened, source)
    windows = prepare(source, ["gguf", "onnx", "executorch"], 640, "prose", tokens=256, longest=128)
    found = check(bound, source, windows, Settings(threads=1, repeats=1))
    assert snapshot(folder) == before
    return dict(zip(shelf, found, strict=True))


def test_what_llama_cpp_quantised_is_near_the_checkpoint(measured: dict[str, Measurements]) -> None:
    found = measured["llama.cpp"]
    assert found.failure is None
    assert found.fidelity is not None
    assert 0 < found.fidelity.kl_mean < 0.01
    assert found.tokenizer is not None
    assert found.tokenizer.identical == found.tokenizer.compared
    assert found.decode is not None
    assert found.subject.recipe == "tiny.Q8_0"
    assert found.subject.made_by == "llama.cpp or another GGUF writer"
    assert {line.grid for line in found.coverage} == {"Q8_0", "float32"}


def test_what_optimum_exported_computes_what_the_checkpoint_does(measured: dict[str, Measurements]) -> None:
    found = measured["optimum"]
    assert found.failure is None
    assert found.fidelity is not None
    assert found.fidelity.kl_mean < 1e-6
    assert found.fidelity.top1 == 1
    assert found.chat_template is not None
    assert found.chat_template.identical == found.chat_template.compared
    assert found.subject.parameters == 94_528
    assert found.subject.bits_per_weight == pytest.approx(32, rel=0.01)


@pytest.mark.parametrize("made_by", ["genai", "program"])
def test_a_file_that_computes_something_else_is_seen(measured: dict[str, Measurements], made_by: str) -> None:
    found = measured[made_by]
    assert found.failure is None
    assert found.fidelity is not None
    assert found.fidelity.kl_mean > 1
    outcomes = {verdict.metric: verdict.outcome for verdict in judge(found, load_target("host"))}
    assert outcomes["tokenizer"] == "pass"


def test_a_template_that_renders_nothing_is_another_template(measured: dict[str, Measurements]) -> None:
    agreement = measured["genai"].chat_template
    assert agreement is not None
    assert (agreement.identical, agreement.first_difference) == (0, "one turn")


def test_nobody_guesses_what_a_file_was_made_from(shelf: dict[str, Path], tiny_artefact: Artefact) -> None:
    opened = [tiny_artefact, open_artefact(shelf["genai"])]
    with pytest.raises(InputError, match=r"smolship did not make genai, .*: give the checkpoint with --checkpoint"):
        open_source(opened, None, None)


def test_a_checkpoint_of_other_shapes_is_refused(shelf: dict[str, Path], tmp_path: Path) -> None:
    other = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "other", num_hidden_layers=3)))
    with pytest.raises(InputError, match="optimum is a model with a number of layers of 2, and other has 3"):
        bind([open_artefact(shelf["optimum"])], other)


def test_two_files_of_one_name_are_refused(shelf: dict[str, Path], tiny_checkpoint: Checkpoint) -> None:
    twice = [open_artefact(shelf["genai"]), open_artefact(shelf["genai"])]
    with pytest.raises(InputError, match="two onnx files go by the name genai"):
        bind(twice, tiny_checkpoint)


def test_ours_stay_as_they_are(tiny_artefact: Artefact, tiny_checkpoint: Checkpoint) -> None:
    assert bind([open_artefact(tiny_artefact.folder)], tiny_checkpoint) == [tiny_artefact]


def test_the_command_line_asks_for_the_checkpoint(
    shelf: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check", shelf["llama.cpp"]) == 2
    assert "smolship did not make tiny.Q8_0" in capfd.readouterr().err
    assert run(monkeypatch, "check", shelf["llama.cpp"], "--checkpoint", "embedded") == 2
    assert "is a model with a vocabulary of 320, and SmolLM2-135M-Instruct has 49152" in capfd.readouterr().err
    assert run(monkeypatch, "smoke", shelf["llama.cpp"].parent, "--host", "nowhere", "--target", "raspberry-pi-5") == 2
    assert "has no manifest.json: give a folder that `smolship build` wrote" in capfd.readouterr().err
