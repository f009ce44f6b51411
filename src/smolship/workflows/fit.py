"""Fit: a grid for each tensor, so that a file keeps to a size with the least divergence, or the other way round."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smolship import __version__
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.export import Format
from smolship.progress import Progress, Silent
from smolship.quantize import Calibrating, Recipe
from smolship.quantize.cache import keep_json, kept_json, place_of
from smolship.quantize.fit import (
    Choice,
    FittedModel,
    StandIn,
    alternating,
    choose,
    choose_under,
    require_room,
    sizes_of,
)
from smolship.quantize.grids import grid_named
from smolship.quantize.recipes import CALIBRATED, DISTILLED
from smolship.quantize.rounding import needs_calibration
from smolship.targets import Goal, Target, goal_of, parse_goal
from smolship.workflows.blueprint import (
    Fitting,
    GoalOf,
    Order,
    blueprint_of,
    calibrating_of,
    check_context,
    whole,
)
from smolship.workflows.build import Built, timed


@dataclass(frozen=True)
class _Task:
    """One file to be fitted."""

    format: Format
    goal: Goal
    sizes: dict[str, dict[str, int]]
    fixed: int
    """bytes of the model file besides its matrices"""
    limit: int | None
    """bytes that the model file may have"""
    distilled: bool

    @property
    def recipe(self) -> Recipe:
        """The recipe that the artefact is named after: a grid for each tensor instead of widths."""
        rounding = DISTILLED if self.distilled else CALIBRATED
        name = f"fit-{self.goal.name}" + ("-distilled" if self.distilled else "")
        return Recipe(name, "fitted", "fitted", rounding, f"grids chosen to fit {self.goal.name}")


def goal_by(text: str, targets: Sequence[Target]) -> GoalOf:
    """What `--fit` asks for: `target` is the size budget of the one target; `InputError` says how goals are written."""
    if text.strip() == "target":
        if len(targets) != 1:
            raise InputError("--fit target keeps to the size budget of one target: give --target once, or a size")
        (target,) = targets
        return lambda checkpoint, fmt, context: goal_of(
            target, format=fmt, parameters=checkpoint.architecture.parameters, context=context
        )
    goal = parse_goal(text)
    return lambda *_: goal


def fit(checkpoint: Checkpoint, out: Path, order: Order, *, progress: Progress = Silent()) -> list[Built]:
    """Write one artefact for each of the order's formats, fitted to the order's goals.

    `InputError` before anything is measured if a size cannot be reached, saying what the smallest possible is. No file
    is ever larger than its goal: `SmolshipError` if one would be, and nothing is written then.
    """
    check_context(checkpoint, order.context)
    if order.goals is None:
        raise InputError("nothing says what to fit the files to: give a goal, such as 80MB")
    wanted = [(fmt, order.goals(checkpoint, fmt, order.context)) for fmt in order.formats]
    calibrating = calibrating_of(checkpoint, order)
    tasks = [_task(checkpoint, fmt, goal, order, progress) for fmt, goal in wanted]
    return [_fit(checkpoint, out, order, task, calibrating, progress) for task in tasks]


def _fit(
    checkpoint: Checkpoint, out: Path, order: Order, task: _Task, calibrating: Calibrating, progress: Progress
) -> Built:
    from smolship.quantize.fit.measured import measured_order  # torch: only what calibrates needs it
    from smolship.quantize.orders import solve_order

    costs = measured_order(checkpoint, task.format.name, calibrating, progress).costs
    choice = _choice(task, costs)
    blueprint = blueprint_of(checkpoint, out, task.recipe, task.format, order, choice.assignment)
    blueprint = replace(blueprint, fitting=Fitting(choice.predicted, task.limit, task.goal.all_bytes))
    if not order.rebuild and (kept := whole(blueprint)):
        return Built(kept, kept=True, seconds=0.0)
    solved = {tensor: grid for tensor, grid in choice.assignment.items() if needs_calibration(grid_named(grid))}
    solution = solve_order(checkpoint, solved, calibrating, task.recipe.rounding, progress)
    model = FittedModel(checkpoint, task.recipe, solution, grids=choice.assignment)
    return timed(blueprint, model, progress)


def _choice(task: _Task, costs: dict[str, dict[str, float]]) -> Choice:
    if task.limit is not None:
        return choose(costs, task.sizes, task.limit, task.fixed)
    if task.goal.divergence is None:
        raise InputError(f"--fit {task.goal.name} names neither a size nor a divergence")
    return choose_under(costs, task.sizes, task.goal.divergence, task.fixed)


def _task(checkpoint: Checkpoint, fmt: str, goal: Goal, order: Order, progress: Progress) -> _Task:
    line = order.line(fmt)
    if line.backend is not None:
        raise InputError(f"--fit weighs what XNNPACK's files take: give --recipe with --backend {line.backend.name}")
    sizes = sizes_of(checkpoint.architecture, fmt)
    grids = alternating(sizes)
    model_file, others = _stand_in_bytes(checkpoint, line, order.context, grids, progress)
    fixed = model_file - sum(sizes[tensor][grid] for tensor, grid in grids.items())
    limits = [goal.model_bytes, None if goal.all_bytes is None else goal.all_bytes - others]
    limit = min((each for each in limits if each is not None), default=None)
    if limit is not None:
        try:
            require_room(sizes, limit, fixed)
        except InputError as error:
            raise InputError(f"--fit {goal.name}, {line.title}: {error}") from error
    return _Task(line, goal, sizes, fixed, limit, order.distil)


def _stand_in_bytes(
    checkpoint: Checkpoint, line: Format, context: int, grids: dict[str, str], progress: Progress
) -> tuple[int, int]:
    """The bytes of the model file on those grids and of what ships beside it, found by writing noise once."""
    inputs = {
        "source": checkpoint.source.sha256,
        "format": line.name,
        "weights_beside": line.weights_beside,
        "context": context,
        "versions": {"smolship": __version__, **line.versions()},
        "grids": grids,
    }
    place = place_of("fixed-bytes", __name__, inputs, ".json")
    if (kept := kept_json(place, tuple[int, int])) is not None:
        return kept
    recipe = Recipe("stand-in", "fitted", "fitted", CALIBRATED, "noise")
    with tempfile.TemporaryDirectory(prefix="smolship-fit-") as name:
        folder = Path(name)
        line.load().pack(StandIn(checkpoint, recipe, grids=grids), folder, context, progress)
        files = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    model_file = sum(size for path, size in files.items() if path.name.startswith(line.model_file))
    others = sum(files.values()) - model_file
    keep_json(place, (model_file, others))
    return model_file, others
