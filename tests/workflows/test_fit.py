"""Fit: the file keeps to its budget to the byte, says what was predicted, and refuses what cannot be reached."""

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.cli import app
from smolship.errors import InputError, SmolshipError
from smolship.runtime_checks.check_artefact import subject_of
from smolship.targets import Target, load_target
from smolship.workflows import fit as module
from smolship.workflows.blueprint import Fitting, Order
from smolship.workflows.fit import fit, goal_by

pytestmark = pytest.mark.slow

ORDER = Order((), ("gguf",), 256, calibration_sequences=8)
HOST = load_target("host")


def ordered(goal: str, order: Order = ORDER, target: Target = HOST) -> Order:
    return dataclasses.replace(order, goals=goal_by(goal, [target]))


def fitted(checkpoint: Checkpoint, out: Path, goal: str, order: Order = ORDER) -> Artefact:
    return fit(checkpoint, out, ordered(goal, order))[0].artefact


def smallest(checkpoint: Checkpoint, out: Path) -> int:
    with pytest.raises(InputError, match="the smallest possible has") as caught:
        fitted(checkpoint, out, "1kB")
    return int(str(caught.value).split()[-2].replace(",", ""))


def test_a_file_fits_its_budget_and_says_what_was_predicted(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    low = smallest(tiny_checkpoint, tmp_path)
    assert not list(tmp_path.iterdir())
    predicted = []
    for budget in (low, low + 5000, low + 20_000, 10 * low):
        artefact = fitted(tiny_checkpoint, tmp_path, str(budget))
        assert artefact.folder.name == f"TinyLM2-Instruct-fit-{budget}B-gguf"
        assert artefact.manifest.model_bytes == artefact.model_path.stat().st_size <= budget
        assert artefact.manifest.model_bytes > 0.95 * min(budget, 109_000)  # all in 8 bits
        assert subject_of(artefact).predicted_divergence == artefact.manifest.predicted_divergence
        predicted.append(artefact.manifest.predicted_divergence or 0)
    assert predicted == sorted(predicted, reverse=True)
    assert predicted[0] > 5 * predicted[-1] > 0


def test_the_smallest_under_a_divergence_is_the_answer_to_its_own_size(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    first = fitted(tiny_checkpoint, tmp_path, "75000").manifest
    second = fitted(tiny_checkpoint, tmp_path, f"kl={first.predicted_divergence}").manifest
    assert second.model_bytes <= first.model_bytes
    assert (second.predicted_divergence or 1) <= (first.predicted_divergence or 0)
    with pytest.raises(InputError, match="no choice of grids is predicted to diverge by at most 1e-12 nats"):
        fitted(tiny_checkpoint, tmp_path, "kl=1e-12")


def test_a_distilled_file_has_the_same_grids_and_size_and_says_so(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    plain = fitted(tiny_checkpoint, tmp_path, "75000").manifest
    artefact = fitted(tiny_checkpoint, tmp_path, "75000", dataclasses.replace(ORDER, distil=True))
    assert artefact.folder.name == "TinyLM2-Instruct-fit-75000B-distilled-gguf"
    found = artefact.manifest
    assert (found.rounding, [stage.name for stage in found.stages][-1]) == ("distilled", "distilled")
    assert [line.grid for line in found.coverage] == [line.grid for line in plain.coverage]
    assert found.model_bytes == plain.model_bytes


def test_a_fitted_file_is_kept_until_something_changes(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    order = ordered("75000")
    assert not fit(tiny_checkpoint, tmp_path, order)[0].kept
    assert fit(tiny_checkpoint, tmp_path, order)[0].kept
    assert not fit(tiny_checkpoint, tmp_path, dataclasses.replace(order, rebuild=True))[0].kept


def test_a_file_that_came_out_too_large_is_not_written(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tight(predicted: float, model_bytes: int, all_bytes: int | None) -> Fitting:
        return Fitting(predicted, model_bytes - 10_000, all_bytes)

    monkeypatch.setattr(module, "Fitting", tight)
    with pytest.raises(SmolshipError, match=r"the model file came out at .* bytes, 65,000 were asked for"):
        fitted(tiny_checkpoint, tmp_path, "75000")
    assert not list(tmp_path.iterdir())


def test_a_target_s_size_counts_all_that_ships(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    budget = HOST.budget[0].model_copy(update={"metric": "size", "limit": "<= 80 kB", "recipe": None, "format": None})
    small = HOST.model_copy(update={"name": "small", "budget": (budget,)})
    artefact = fit(tiny_checkpoint, tmp_path, ordered("target", target=small))[0].artefact
    assert artefact.folder.name == "TinyLM2-Instruct-fit-small-gguf"
    assert 75_000 < artefact.manifest.bytes <= 80_000
    with pytest.raises(InputError, match="target host has no size budget"):
        fitted(tiny_checkpoint, tmp_path, "target")


def test_the_command_line_fits_too(tiny_folder: Path, tmp_path: Path) -> None:
    arguments = ["build", str(tiny_folder), "-o", str(tmp_path), "-f", "gguf", "--context", "256", "--fit"]
    unreachable = CliRunner().invoke(app, [*arguments, "1kB"]).exception
    assert isinstance(unreachable, InputError)  # which `main` turns into exit code 2
    assert re.fullmatch(
        r"--fit 1kB, GGUF: no choice of grids fits in 1,000 bytes: the smallest possible has [\d,]+ bytes",
        str(unreachable),
    )
    misspelt = CliRunner().invoke(app, [*arguments, "80 megs"]).exception
    assert isinstance(misspelt, InputError)
    assert not list(tmp_path.iterdir())
