"""The verbs that make files, and the one that says before what they will need."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from smolship import options
from smolship.errors import InputError
from smolship.terminal import output, showing_progress
from smolship.verbs.endings import BROKEN, exit_as, tell_kept_readmes
from smolship.verbs.opening import opened, tell_notes

if TYPE_CHECKING:
    from smolship.text_file import TextFile


def ship(
    checkpoint: options.Checkpoint = "embedded",
    *,
    out: options.Out = options.DEFAULT_OUT,
    recipe: options.Recipes = None,
    fit: options.Fit = None,
    distil: options.Distil = False,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    target: options.Targets = options.DEFAULT_TARGETS,
    budget: options.Budgets = None,
    allow_unmeasured: options.AllowUnmeasured = False,
    context: options.Context = 2048,
    revision: options.Revision = None,
    base: options.Base = None,
    threads: options.Threads = options.DEFAULT_THREADS,
    repeats: options.Repeats = 5,
    timeout: options.Timeout = None,
    text: options.Text = "prose",
    calibration_text: options.CalibrationText = None,
    rebuild: options.Rebuild = False,
    weights_beside: options.WeightsBeside = False,
    backend: options.Backend = None,
    as_json: options.Json = False,
) -> None:
    """Build, check and report: the main job."""
    from smolship import views
    from smolship.runtime_checks.check_artefact import Settings
    from smolship.workflows.blueprint import Order
    from smolship.workflows.fit import goal_by
    from smolship.workflows.gate import gate_of
    from smolship.workflows.ship import ship as run

    gate = gate_of(target, budget or [], allow_unmeasured=allow_unmeasured)
    gate.require(format)
    goals = goal_by(fit, gate.targets) if fit is not None else None
    recipes = _recipes(recipe, fit, distil=distil)
    order = Order(
        recipes, _once(format), context, rebuild, _read(calibration_text),
        goals=goals, distil=distil, weights_beside=weights_beside, backend=backend,
    )  # fmt: skip
    with showing_progress() as progress:
        source = opened(checkpoint, revision, base, progress)
        report = run(source, out, order, gate, Settings(threads, repeats, timeout), text=text, progress=progress)
    views.report(report, out).show(output(), as_json=as_json)
    tell_kept_readmes(out / one.subject.name_of_file for one in report.checked)
    exit_as(report)


def build(
    checkpoint: options.Checkpoint = "embedded",
    *,
    out: options.Out = options.DEFAULT_OUT,
    recipe: options.Recipes = None,
    fit: options.Fit = None,
    distil: options.Distil = False,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    target: options.FitTarget = "host",
    context: options.Context = 2048,
    revision: options.Revision = None,
    base: options.Base = None,
    calibration_text: options.CalibrationText = None,
    rebuild: options.Rebuild = False,
    weights_beside: options.WeightsBeside = False,
    backend: options.Backend = None,
    as_json: options.Json = False,
) -> None:
    """Write artefacts, one folder for each recipe and format; whole ones that would not change are kept."""
    from smolship import views
    from smolship.targets import load_target
    from smolship.workflows.blueprint import Order
    from smolship.workflows.build import build as build_recipes
    from smolship.workflows.fit import fit as build_fitted
    from smolship.workflows.fit import goal_by

    goals = goal_by(fit, [load_target(target)]) if fit is not None else None
    recipes = _recipes(recipe, fit, distil=distil)
    order = Order(
        recipes, _once(format), context, rebuild, _read(calibration_text),
        goals=goals, distil=distil, weights_beside=weights_beside, backend=backend,
    )  # fmt: skip
    with showing_progress() as progress:
        source = opened(checkpoint, revision, base, progress)
        built = (build_recipes if goals is None else build_fitted)(source, out, order, progress=progress)
    views.built(built).show(output(), as_json=as_json)


def plan(
    checkpoint: options.Checkpoint = "embedded",
    *,
    target: options.Targets = options.DEFAULT_TARGETS,
    budget: options.Budgets = None,
    context: options.Context = 2048,
    recipe: options.PlannedRecipes = None,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    revision: options.Revision = None,
    base: options.Base = None,
    as_json: options.Json = False,
) -> None:
    """Predict every file's size, memory and speed limit, and say which to ship; builds nothing, reads no weights.

    Ends with 1 if no file fits one of the targets.
    """
    from smolship import views
    from smolship.checkpoint import open_outline
    from smolship.quantize import RECIPES
    from smolship.targets import load_target, with_budgets
    from smolship.workflows.plan import plan as run

    profiles = [with_budgets(load_target(name), budget or []) for name in _once(target)]
    with showing_progress() as progress:
        model = open_outline(checkpoint, revision=revision, base=base, progress=progress)
        tell_notes(model)
    made = run(model, profiles, _once(recipe or RECIPES), _once(format), context)
    views.planned(made).show(output(), as_json=as_json)
    if not made.all_fit:
        raise typer.Exit(BROKEN)


def _recipes(names: list[str] | None, fit: str | None, *, distil: bool) -> tuple[str, ...]:
    """The recipes to build; none if each tensor's grid is chosen instead."""
    if fit is None:
        if distil:
            raise InputError("--distil goes with --fit: without it, give a recipe whose name ends in -distilled")
        return _once(names or options.DEFAULT_RECIPES)
    if names:
        raise InputError("--recipe names the grids and --fit chooses them: give one of the two")
    return ()


def _read(calibration_text: Path | None) -> "TextFile | None":
    from smolship.text_file import read_text_file

    wanted = "give --calibration-text a plain text file"
    return None if calibration_text is None else read_text_file(calibration_text, wanted)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    """The names in the order given, a repeated one once."""
    return tuple(dict.fromkeys(names))
