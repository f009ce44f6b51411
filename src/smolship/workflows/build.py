"""Build: a checkpoint into artefacts, one folder for each recipe and format."""

import time
from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import Artefact, refuse_foreign
from smolship.checkpoint import Checkpoint
from smolship.export import format_named
from smolship.progress import Progress, Silent
from smolship.quantize import QuantizedModel, quantize, recipe_named
from smolship.workflows.plan import DEFAULT_CONTEXT, Order, Plan, calibrating_of, check_context, plan_of, whole, write

__all__ = ["DEFAULT_CONTEXT", "Built", "Order", "build"]


@dataclass(frozen=True)
class Built:
    """An artefact and whether it was written now or found whole and kept."""

    artefact: Artefact
    kept: bool
    seconds: float
    """wall time of writing it, the rounding that it shares with other formats apart"""


def build(checkpoint: Checkpoint, out: Path, order: Order, *, progress: Progress = Silent()) -> list[Built]:
    """Write one artefact for each recipe and format below `out`; one that is there whole already is kept.

    Every name, the context and every place is checked before anything is written (`InputError`).
    """
    check_context(checkpoint, order.context)
    plans = [_plan(checkpoint, out, recipe, fmt, order) for recipe in order.recipes for fmt in order.formats]
    kept = {} if order.rebuild else {plan.place: found for plan in plans if (found := whole(plan))}
    for plan in plans:
        if plan.place not in kept:
            plan.format.load()
            refuse_foreign(plan.place)
    calibrating = calibrating_of(checkpoint, order)
    built = []
    for recipe in order.recipes:
        mine = [plan for plan in plans if plan.recipe.name == recipe]
        missing = tuple(plan.format.name for plan in mine if plan.place not in kept)
        model = quantize(checkpoint, recipe, missing, progress, calibrating) if missing else None
        for plan in mine:
            if plan.place in kept:
                built.append(Built(kept[plan.place], kept=True, seconds=0.0))
            elif model is not None:
                start = time.monotonic()
                written = write(plan, model, progress)
                built.append(Built(written, kept=False, seconds=time.monotonic() - start))
    return built


def _plan(checkpoint: Checkpoint, out: Path, recipe: str, fmt: str, order: Order) -> Plan:
    line, chosen = format_named(fmt), recipe_named(recipe)
    model = QuantizedModel(checkpoint, chosen)
    grids = {name: model.grid(name, line.name).name for name in model.matrices()}
    return plan_of(checkpoint, out, chosen, line, order, grids)
