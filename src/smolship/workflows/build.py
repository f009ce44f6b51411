"""Build: a checkpoint into artefacts, one folder for each recipe and format."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from smolship import __version__
from smolship.artefact import (
    MANIFEST_FILE,
    Artefact,
    DivergenceRecord,
    Manifest,
    SourceRecord,
    StageRecord,
    TensorRecord,
    list_files,
    refuse_foreign,
    staged,
)
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.export import Format, format_named
from smolship.progress import Progress, Silent
from smolship.quantize import SEQUENCES, Calibrating, QuantizedModel, Recipe, quantize, recipe_named
from smolship.quantize.coverage import bits_per_weight
from smolship.quantize.solution import Stage
from smolship.runtime_checks.texts import KINDS
from smolship.runtime_checks.windows import windows

DEFAULT_CONTEXT = 2048
SHORTEST_CONTEXT = 64
WATCHED = 512
"""tokens of each of the two windows of a text on which calibration's stages are compared"""


@dataclass(frozen=True)
class Order:
    """What to build of a checkpoint."""

    recipes: tuple[str, ...]
    formats: tuple[str, ...]
    context: int = DEFAULT_CONTEXT
    rebuild: bool = False
    """build again even what is there whole and unchanged"""
    calibration_text: Path | None = None
    """what recipes that calibrate look at; `None` is text that the checkpoint writes itself"""
    calibration_sequences: int = SEQUENCES


@dataclass(frozen=True)
class Built:
    """An artefact and whether it was written now or found whole and kept."""

    artefact: Artefact
    kept: bool
    seconds: float
    """wall time of writing it, the rounding that it shares with other formats apart"""


@dataclass(frozen=True)
class _Plan:
    """One artefact to be: everything that decides its bytes."""

    place: Path
    format: Format
    recipe: Recipe
    context: int
    calibration: str | None
    source: SourceRecord
    versions: dict[str, str]
    grids: dict[str, str]
    """of every matrix, by tensor"""

    def describes(self, manifest: Manifest) -> bool:
        """Whether building again would write what `manifest` already lists."""
        listed = (manifest.source, manifest.format, manifest.recipe, manifest.rounding, manifest.calibration)
        wanted = (self.source, self.format.name, self.recipe.name, self.recipe.rounding, self.calibration)
        grids = {line.tensor: line.grid for line in manifest.coverage if len(line.shape) == 2}
        same = (manifest.context, manifest.versions, grids) == (self.context, self.versions, self.grids)
        return same and listed == wanted


def build(checkpoint: Checkpoint, out: Path, order: Order, *, progress: Progress = Silent()) -> list[Built]:
    """Write one artefact for each recipe and format below `out`; one that is there whole already is kept.

    Every name, the context and every place is checked before anything is written (`InputError`).
    """
    _check_context(checkpoint, order.context)
    source = _source_record(checkpoint)
    plans = [_plan(checkpoint, source, out, recipe, fmt, order) for recipe in order.recipes for fmt in order.formats]
    kept = {} if order.rebuild else {plan.place: whole for plan in plans if (whole := _whole(plan))}
    for plan in plans:
        if plan.place not in kept:
            plan.format.load()
            refuse_foreign(plan.place)
    calibrating = _calibrating(checkpoint, order)
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
                written = _write(plan, model, progress)
                built.append(Built(written, kept=False, seconds=time.monotonic() - start))
    return built


def _calibrating(checkpoint: Checkpoint, order: Order) -> Calibrating:
    """The order's calibration, its stages watched on the project's own texts: other kinds than what is sampled."""
    kinds = KINDS if checkpoint.tokenizer.chat_template else [kind for kind in KINDS if kind != "chat"]
    length = min(WATCHED, checkpoint.architecture.max_positions)
    watch = {kind: windows(checkpoint.tokenizer, kind, count=2, length=length).tokens for kind in kinds}
    return Calibrating(order.calibration_text, order.calibration_sequences, watch)


def _check_context(checkpoint: Checkpoint, context: int) -> None:
    longest = checkpoint.architecture.max_positions
    if not SHORTEST_CONTEXT <= context <= longest:
        raise InputError(f"--context {context}: {checkpoint.name} takes from {SHORTEST_CONTEXT} to {longest} tokens")


def _plan(checkpoint: Checkpoint, source: SourceRecord, out: Path, recipe: str, fmt: str, order: Order) -> _Plan:
    line, chosen = format_named(fmt), recipe_named(recipe)
    place = out / f"{checkpoint.name}-{chosen.name}-{line.name}"
    model = QuantizedModel(checkpoint, chosen)
    grids = {name: model.grid(name, line.name).name for name in model.matrices()}
    calibrating = Calibrating(order.calibration_text, order.calibration_sequences)
    calibration = calibrating.described(checkpoint.name) if chosen.calibrated else None
    versions = {"smolship": __version__, **line.versions()}
    return _Plan(place, line, chosen, order.context, calibration, source, versions, grids)


def _source_record(checkpoint: Checkpoint) -> SourceRecord:
    return SourceRecord(name=checkpoint.name, instruct=checkpoint.is_instruct, **asdict(checkpoint.source))


def _whole(plan: _Plan) -> Artefact | None:
    """The artefact that already stands in its place and needs no building, if there is one."""
    if not (plan.place / MANIFEST_FILE).is_file():
        return None
    artefact = Artefact.open(plan.place)
    if not plan.describes(artefact.manifest):
        return None
    try:
        artefact.verify()
    except InputError:
        return None  # damaged: build it again
    return artefact


def _write(plan: _Plan, model: QuantizedModel, progress: Progress) -> Artefact:
    module = plan.format.load()
    with staged(plan.place) as folder:
        module.pack(model, folder, plan.context, progress)
        coverage = model.coverage(plan.format.name)
        manifest = Manifest(
            source=plan.source,
            format=plan.format.name,
            recipe=plan.recipe.name,
            rounding=plan.recipe.rounding,
            calibration=plan.calibration,
            stages=tuple(_stage_record(stage) for stage in model.solution.stages),
            context=plan.context,
            model_file=plan.format.model_file,
            bits_per_weight=bits_per_weight(coverage),
            versions=plan.versions,
            files=list_files(folder),
            coverage=tuple(TensorRecord(**asdict(line)) for line in coverage),
        )
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Artefact(plan.place, manifest)


def _stage_record(stage: Stage) -> StageRecord:
    """Without the seconds: the same build gives the same bytes."""
    return StageRecord(name=stage.name, divergences=tuple(DivergenceRecord(**asdict(one)) for one in stage.divergences))
