"""Plan: what every recipe would give in every format, and which file suits each target, before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass

from smolship.checkpoint import Outline
from smolship.errors import InputError
from smolship.export import format_named
from smolship.export.sizes import Frame, frame_of, sizes_under
from smolship.quantize import Recipe, recipe_named
from smolship.targets import Target
from smolship.workflows.blueprint import check_context
from smolship.workflows.planned import PlannedFile, Refused
from smolship.workflows.suiting import Suit, best, suit_of


@dataclass(frozen=True)
class OnTarget:
    """All files on one target."""

    target: Target
    suits: tuple[Suit, ...]
    """in the order of the plan's files"""
    chosen: PlannedFile | None
    """the file to ship; `None` if none fits"""
    better: PlannedFile | None
    """the file that would be shipped if everything fitted, where its recipe is another"""


@dataclass(frozen=True)
class Plan:
    """Everything that was predicted of a model."""

    model: str
    parameters: int
    context: int
    files: tuple[PlannedFile, ...]
    refused: tuple[Refused, ...]
    targets: tuple[OnTarget, ...]

    @property
    def all_fit(self) -> bool:
        """Whether there is a file for every target."""
        return all(one.chosen for one in self.targets)


def plan(
    model: Outline, targets: Sequence[Target], recipes: Sequence[str], formats: Sequence[str], context: int
) -> Plan:
    """Predict the files of every recipe in every format and hold them against the targets, without weights.

    `InputError` for an unknown name, a context that the model does not take, or if no format can hold any recipe.
    """
    check_context(model, context)
    lines, chosen = [format_named(name) for name in formats], [recipe_named(name) for name in recipes]
    frames = [frame_of(model, line, context) for line in lines]
    planned = [_planned(model, recipe, frame, context) for recipe in chosen for frame in frames]
    files = tuple(one for one in planned if isinstance(one, PlannedFile))
    refused = tuple(one for one in planned if isinstance(one, Refused))
    if not files:
        reasons = "; ".join(f"{one.format}: {one.reason}" for one in refused)
        raise InputError(f"nothing of this can be built: {reasons}")
    on_targets = tuple(_on_target(target, files) for target in targets)
    return Plan(model.name, model.architecture.parameters, context, files, refused, on_targets)


def _planned(model: Outline, recipe: Recipe, frame: Frame, context: int) -> PlannedFile | Refused:
    try:
        sizes = sizes_under(model, recipe, frame)
    except InputError as error:
        return Refused(recipe.name, frame.format, str(error))
    return PlannedFile(recipe, frame.format, model.architecture, context, sizes)


def _on_target(target: Target, files: tuple[PlannedFile, ...]) -> OnTarget:
    suits = tuple(suit_of(file, target) for file in files)
    pairs = list(zip(files, suits, strict=True))
    chosen = best(pair for pair in pairs if pair[1].fits)
    wished = best(pair for pair in pairs if pair[1].memory is not None)
    better = wished if wished and chosen and wished.recipe != chosen.recipe else None
    return OnTarget(target, suits, chosen, better)
