"""`Blueprint`: one artefact to be, whether it is there already, and writing it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from smolship import __version__
from smolship.artefact import (
    MANIFEST_FILE,
    Artefact,
    BackendRecord,
    DivergenceRecord,
    Manifest,
    SourceRecord,
    StageRecord,
    TensorRecord,
    list_files,
    source_of,
    staged,
)
from smolship.checkpoint import Checkpoint, Outline
from smolship.errors import InputError, SmolshipError
from smolship.export import Format, format_named
from smolship.progress import Progress
from smolship.quantize import Calibrating, QuantizedModel, Recipe
from smolship.quantize.coverage import bits_per_weight
from smolship.quantize.made_by import code_digest
from smolship.quantize.solution import Stage
from smolship.runtime_checks.card import render_card, write_card
from smolship.runtime_checks.texts import kinds_for
from smolship.runtime_checks.windows import windows
from smolship.targets import Goal
from smolship.text_file import TextFile

DEFAULT_CONTEXT = 2048
SHORTEST_CONTEXT = 64
WATCHED = 512
"""tokens of each of the two windows of a text on which calibration's stages are compared"""

GoalOf = Callable[[Checkpoint, str, int], Goal]
"""the goal for a checkpoint in a format, made for so many tokens"""


@dataclass(frozen=True)
class Order:
    """What to build of a checkpoint."""

    recipes: tuple[str, ...]
    formats: tuple[str, ...]
    context: int = DEFAULT_CONTEXT
    rebuild: bool = False
    """build again even what is there whole and unchanged"""
    calibration_text: TextFile | None = None
    """what recipes that calibrate look at; `None` is text that the checkpoint writes itself"""
    calibration_sequences: int | None = None
    """at most so many of them; `None` is what calibration does by itself"""
    goals: GoalOf | None = None
    """what each format's file is fitted to, instead of the recipes"""
    distil: bool = False
    """train the scales and gains of fitted files too; a recipe says for itself whether it is distilled"""
    weights_beside: bool = False
    """weights in a second file beside the model"""
    backend: str | None = None
    """what ExecuTorch files are lowered to; `None` is XNNPACK"""

    def line(self, name: str) -> Format:
        """The format of that name, as it is wanted; `InputError` if it is unknown or cannot be had so."""
        found = format_named(name)
        found = found.with_weights_beside() if self.weights_beside else found
        return found if self.backend is None else found.with_backend(self.backend)


@dataclass(frozen=True)
class Fitting:
    """What a file's grids were chosen for."""

    predicted: float
    """nats"""
    model_bytes: int | None = None
    """that its model file may have"""
    all_bytes: int | None = None
    """that all that ships may have"""

    def require(self, manifest: Manifest) -> None:
        """`SmolshipError` if the files are larger than they may be."""
        for what, found, limit in (
            ("the model file", manifest.model_bytes, self.model_bytes),
            ("all that ships", manifest.bytes, self.all_bytes),
        ):
            if limit is not None and found > limit:
                raise SmolshipError(
                    f"{manifest.recipe}, {manifest.format}: {what} came out at {found:,} bytes, {limit:,} were asked "
                    "for, and nothing was written: please report this, and fit to a little less"
                )


@dataclass(frozen=True)
class Blueprint:
    """One artefact to be: everything that decides its bytes."""

    place: Path
    format: Format
    recipe: Recipe
    context: int
    calibration: str | None
    source: SourceRecord
    versions: dict[str, str]
    code: str
    """the sha256 of the modules that round and pack it"""
    grids: dict[str, str]
    """of every matrix, by tensor"""
    fitting: Fitting | None = None
    """if its grids were chosen to fit"""

    @property
    def predicted(self) -> float | None:
        """The divergence that the choice of grids foresaw."""
        return None if self.fitting is None else self.fitting.predicted

    @property
    def backend(self) -> BackendRecord | None:
        """What the manifest says of the backend."""
        backend = self.format.backend
        return None if backend is None else BackendRecord(name=backend.name, title=backend.title)

    def describes(self, manifest: Manifest) -> bool:
        """Whether building again would write what `manifest` already lists."""
        listed = (manifest.source, manifest.format, manifest.recipe, manifest.rounding, manifest.calibration)
        wanted = (self.source, self.format.name, self.recipe.name, self.recipe.rounding, self.calibration)
        grids = {line.tensor: line.grid for line in manifest.coverage if len(line.shape) == 2}
        same = (manifest.context, manifest.versions, grids) == (self.context, self.versions, self.grids)
        same &= (len(manifest.model_files) > 1) == self.format.weights_beside
        same &= (manifest.backend, manifest.code) == (self.backend, self.code)
        return same and listed == wanted and manifest.predicted_divergence == self.predicted


def blueprint_of(
    checkpoint: Checkpoint, out: Path, recipe: Recipe, line: Format, order: Order, grids: dict[str, str]
) -> Blueprint:
    """The artefact of a recipe in a format below `out`; `InputError` if the format cannot hold it here."""
    if refusal := line.refusal(checkpoint):
        raise InputError(refusal)
    place = out / f"{checkpoint.name}-{recipe.name}-{line.label}"
    calibration = _described(checkpoint, order) if recipe.calibrated else None
    versions = {"smolship": __version__, **line.versions()}
    code = code_digest(line.module, "smolship.quantize.model", "smolship.quantize.orders")
    source = source_of(checkpoint)
    return Blueprint(place, line, recipe, order.context, calibration, source, versions, code, grids)


def _described(checkpoint: Checkpoint, order: Order) -> str:
    """How the order calibrates on this machine."""
    from smolship.quantize.precision import best_precision, name_of  # torch: only what calibrates needs it

    calibrating = Calibrating(order.calibration_text, order.calibration_sequences)
    return calibrating.described(checkpoint.name, name_of(best_precision()))


def check_context(checkpoint: Outline, context: int) -> None:
    """`InputError` if the checkpoint does not take so many tokens, or they are too few to be of use."""
    longest = checkpoint.architecture.max_positions
    if not SHORTEST_CONTEXT <= context <= longest:
        raise InputError(f"--context {context}: {checkpoint.name} takes from {SHORTEST_CONTEXT} to {longest} tokens")


def calibrating_of(checkpoint: Checkpoint, order: Order) -> Calibrating:
    """The order's calibration, its stages watched on the project's own texts: other kinds than what is sampled.

    `InputError` if its text is too short, which is better said before anything is measured or written.
    """
    if order.calibration_text is not None:
        from smolship.quantize.calibration import from_file  # torch: only what calibrates needs it
        from smolship.quantize.precision import best_precision

        from_file(checkpoint, order.calibration_text, best_precision())
    length = min(WATCHED, checkpoint.architecture.max_positions)
    watch = {
        kind: windows(checkpoint.tokenizer, kind, count=2, length=length).tokens
        for kind in kinds_for(checkpoint.tokenizer)
    }
    return Calibrating(order.calibration_text, order.calibration_sequences, watch)


def whole(blueprint: Blueprint) -> Artefact | None:
    """The artefact that already stands in its place and needs no building, if there is one."""
    if not (blueprint.place / MANIFEST_FILE).is_file():
        return None
    artefact = Artefact.open(blueprint.place)
    if not blueprint.describes(artefact.manifest):
        return None
    try:
        artefact.verify()
    except InputError:
        return None  # damaged: build it again
    return artefact


def giving_way(blueprint: Blueprint) -> str | None:
    """A sentence on what stands in the blueprint's place and was made of other weights: folders can have one name."""
    if not (blueprint.place / MANIFEST_FILE).is_file():
        return None
    old, new = Artefact.open(blueprint.place).manifest.source, blueprint.source
    if old.sha256 == new.sha256:
        return None
    return (
        f"{blueprint.place.name} was of other weights (sha256 {old.sha256[:12]}… of {old.location}, now "
        f"{new.sha256[:12]}…) and was replaced: give another --out to keep both"
    )


def write(blueprint: Blueprint, model: QuantizedModel, progress: Progress) -> Artefact:
    """Pack `model` into the blueprint's place, whole or not at all; `SmolshipError` if it is larger than it may be."""
    module = blueprint.format.load()
    with staged(blueprint.place) as folder:
        module.pack(model, folder, blueprint.context, progress)
        coverage = model.coverage(blueprint.format.name)
        manifest = Manifest(
            source=blueprint.source,
            format=blueprint.format.name,
            backend=blueprint.backend,
            recipe=blueprint.recipe.name,
            rounding=blueprint.recipe.rounding,
            calibration=blueprint.calibration,
            stages=tuple(_stage_record(stage) for stage in model.solution.stages),
            context=blueprint.context,
            model_file=blueprint.format.model_file,
            bits_per_weight=bits_per_weight(coverage),
            predicted_divergence=blueprint.predicted,
            code=blueprint.code,
            versions=blueprint.versions,
            files=list_files(folder),
            coverage=tuple(TensorRecord(**asdict(line)) for line in coverage),
        )
        if blueprint.fitting is not None:
            blueprint.fitting.require(manifest)
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_card(folder, render_card(manifest, model.checkpoint))
    return Artefact(blueprint.place, manifest)


def _stage_record(stage: Stage) -> StageRecord:
    """Without the seconds: the same build gives the same bytes."""
    return StageRecord(name=stage.name, divergences=tuple(DivergenceRecord(**asdict(one)) for one in stage.divergences))
