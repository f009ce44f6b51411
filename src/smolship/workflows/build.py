"""Build: a checkpoint into artefacts, one folder for each recipe and format."""

import time
from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import Artefact, refuse_foreign
from smolship.checkpoint import Checkpoint
from smolship.progress import Progress, Silent
from smolship.quantize import QuantizedModel, quantize, recipe_named
from smolship.stopwatch import Lap, Stopwatch
from smolship.workflows.blueprint import (
    DEFAULT_CONTEXT,
    Blueprint,
    Order,
    blueprint_of,
    calibrating_of,
    check_context,
    giving_way,
    whole,
    write,
)

__all__ = ["DEFAULT_CONTEXT", "Built", "Order", "build"]


@dataclass(frozen=True)
class Built:
    """An artefact and whether it was written now or found whole and kept."""

    artefact: Artefact
    kept: bool
    seconds: float
    """wall time of writing it, the rounding that it shares with other formats apart"""
    laps: tuple[Lap, ...] = ()
    """the stages of that"""
    replaced: str | None = None
    """a sentence on the artefact of another checkpoint that gave way to it, if one did"""


def build(checkpoint: Checkpoint, out: Path, order: Order, *, progress: Progress = Silent()) -> list[Built]:
    """Write one artefact for each recipe and format below `out`; one that is there whole already is kept.

    Every name, the context and every place is checked before anything is written (`InputError`).
    """
    check_context(checkpoint, order.context)
    blueprints = [_blueprint(checkpoint, out, recipe, fmt, order) for recipe in order.recipes for fmt in order.formats]
    kept = {} if order.rebuild else {blueprint.place: found for blueprint in blueprints if (found := whole(blueprint))}
    for blueprint in blueprints:
        if blueprint.place not in kept:
            blueprint.format.load()
            refuse_foreign(blueprint.place)
    calibrating = calibrating_of(checkpoint, order)
    built = []
    for recipe in order.recipes:
        mine = [blueprint for blueprint in blueprints if blueprint.recipe.name == recipe]
        missing = tuple(blueprint.format.name for blueprint in mine if blueprint.place not in kept)
        model = quantize(checkpoint, recipe, missing, progress, calibrating) if missing else None
        for blueprint in mine:
            if blueprint.place in kept:
                built.append(Built(kept[blueprint.place], kept=True, seconds=0.0))
            elif model is not None:
                built.append(timed(blueprint, model, progress))
    return built


def timed(blueprint: Blueprint, model: QuantizedModel, progress: Progress) -> Built:
    """Write an artefact and note how long its stages take; the errors of `write`."""
    watch, start, replaced = Stopwatch(progress), time.monotonic(), giving_way(blueprint)
    written = write(blueprint, model, watch)
    seconds = time.monotonic() - start
    return Built(written, kept=False, seconds=seconds, laps=tuple(watch.laps), replaced=replaced)


def _blueprint(checkpoint: Checkpoint, out: Path, recipe: str, fmt: str, order: Order) -> Blueprint:
    line, chosen = order.line(fmt), recipe_named(recipe)
    model = QuantizedModel(checkpoint, chosen)
    grids = {name: model.grid(name, line.name).name for name in model.matrices()}
    return blueprint_of(checkpoint, out, chosen, line, order, grids)
