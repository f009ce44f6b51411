"""Check: artefacts measured on their own runtimes."""

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from smolship.artefact import CARD_FILE, MANIFEST_FILE, Artefact, SourceRecord
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.foreign import ForeignFile, Opened
from smolship.progress import Progress, Silent
from smolship.runtime_checks.card import own_readme, render_card, write_card
from smolship.runtime_checks.check_artefact import Settings, check_artefact, not_run
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.prompts import questions
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.tasks.asked import AskedTask, Task, ask_reference, read_task
from smolship.runtime_checks.windows import COUNT, LENGTH, Windows, reference_windows, windows

if TYPE_CHECKING:
    from smolship.reference import Reference

REOPENED = ("embedded", "hub")
"""the kinds of source that a manifest is enough to open again"""


def prepare(
    checkpoint: Checkpoint,
    formats: Iterable[str],
    context: int,
    text: str | Path,
    *,
    tokens: int = COUNT * LENGTH,
    longest: int = LENGTH,
) -> Windows:
    """The evaluation windows for artefacts of `formats` made for `context` tokens: at most `tokens` in all.

    Says what a check lacks before anything is built or measured: `InputError` for a runtime that is not installed, for
    a text that cannot be read or is too short, and for a context that the questions do not fit in. A short context
    gets more and shorter windows.
    """
    for name in formats:
        runtime_for(name).require()
    if find_spec("torch") is None:
        raise InputError("the fp32 reference needs torch, which is not installed here: pip install 'smolship[all]'")
    question = max(len(checkpoint.tokenizer.encode(one.prompt)) for one in questions(checkpoint.tokenizer))
    if question >= context:
        raise InputError(
            f"--context {context} is too short to check: the longest question is {question} tokens; give a longer one"
        )
    length = min(longest, context)
    return windows(checkpoint.tokenizer, text, count=tokens // length, length=length)


def check(
    artefacts: Sequence[Artefact],
    checkpoint: Checkpoint,
    chosen: Windows,
    settings: Settings,
    *,
    tasks: Sequence[Task] = (),
    progress: Progress = Silent(),
) -> list[Measurements]:
    """Measure each artefact in turn on its own runtime, over `chosen` windows against the fp32 reference.

    The reference answers the questions of `tasks` too, and the artefacts are held against that.

    `InputError` if a file differs from its manifest or an artefact was made from another checkpoint. Each artefact's
    `measurements.json` and model card are replaced as soon as it is measured (`kept_readmes` says which card was not);
    nothing is written beside files that were made elsewhere.
    """
    for artefact in artefacts:
        require_source(artefact, checkpoint)
        if artefact.is_ours:  # of others the hashes were taken when they were bound
            artefact.verify()

    if all(artefact.manifest.backend for artefact in artefacts):  # nothing to hold against the reference
        return [_kept(artefact, not_run(artefact, described(checkpoint)), checkpoint) for artefact in artefacts]

    def load() -> "Reference":
        from smolship.reference import Reference  # torch: only a check that runs needs it

        return Reference.from_checkpoint(checkpoint, settings.threads, progress)

    asked = _asked(load, tasks, progress)
    with reference_windows(load, chosen, described(checkpoint), progress) as reference:
        measured = []
        for artefact in artefacts:
            if artefact.manifest.backend:
                measurements = not_run(artefact, reference.described)
            else:
                measurements = check_artefact(artefact, checkpoint, reference, settings, tasks=asked, progress=progress)
            measured.append(_kept(artefact, measurements, checkpoint))
        return measured


def _kept(artefact: Artefact, measurements: Measurements, checkpoint: Checkpoint) -> Measurements:
    """The measurements, put beside an artefact of ours with a new model card."""
    if artefact.is_ours:
        measurements.write(artefact.folder)
        write_card(artefact.folder, render_card(artefact.manifest, checkpoint, measurements))
    return measurements


def kept_readmes(folders: Iterable[Path]) -> list[str]:
    """A sentence for each artefact whose README.md somebody else wrote, so that it got no figures.

    A folder without a manifest holds a file made elsewhere, which gets no card at all.
    """
    return [
        f"{folder / CARD_FILE} is your own and was left as it is: move it away and check again for a model card"
        for folder in folders
        if (folder / MANIFEST_FILE).is_file() and own_readme(folder)
    ]


def read_tasks(paths: Sequence[Path], checkpoint: Checkpoint, context: int, rows: int | None = None) -> list[Task]:
    """The questions of each file, at most so many rows; `InputError` as `read_task`."""
    return [read_task(path, checkpoint.tokenizer, context, rows) for path in paths]


def _asked(load: Callable[[], "Reference"], tasks: Sequence[Task], progress: Progress) -> list[AskedTask]:
    """What the reference answers; it is let go of again."""
    if not tasks:
        return []
    from smolship.runtime_checks.tasks.runners import FullPrecision  # torch

    runner = FullPrecision(load())
    return [ask_reference(runner, task, progress) for task in tasks]


def open_source(
    opened: Sequence[Opened],
    spec: str | None,
    revision: str | None,
    progress: Progress = Silent(),
    *,
    base: str | None = None,
) -> Checkpoint:
    """The checkpoint that artefacts were made from: as given by the user, else as the first manifest names it.

    `base` is what an adapter was merged into, by default what the manifest names too.

    `InputError` if nobody says what a file made elsewhere was made from: it has no manifest.
    """
    if spec is not None:
        return open_checkpoint(spec, revision=revision, base=base, progress=progress)
    if revision is not None:
        raise InputError(f"--revision {revision} is of a hub id: give that with --checkpoint")
    if foreign := [one.name for one in opened if isinstance(one, ForeignFile)]:
        raise InputError(
            f"smolship did not make {', '.join(foreign)}, so nothing says what it was made from: "
            "give the checkpoint with --checkpoint"
        )
    artefacts = [one for one in opened if isinstance(one, Artefact)]
    source = artefacts[0].manifest.source
    base = base or _base_of(source)
    if source.kind in ("folder", "gguf") and Path(source.location).exists():
        return open_checkpoint(f"./{source.location}", base=base, progress=progress)
    if source.kind not in REOPENED:
        raise InputError(
            f"{artefacts[0].name} was made from the {source.kind} {source.location!r}: "
            "say where that is now with --checkpoint"
        )
    place = source.location if source.kind == "hub" else source.kind
    return open_checkpoint(place, revision=source.revision, base=base, progress=progress)


def _base_of(source: SourceRecord) -> str | None:
    """How to name the base that an adapter was merged into; `None` if that is for the adapter's config to say."""
    if source.adapter is None:
        return None
    base = source.adapter.base
    if base.kind == "hub":
        return f"{base.location}@{base.revision}"
    if base.kind in REOPENED:
        return base.kind
    return f"./{base.location}" if Path(base.location).exists() else None


def bind(opened: Sequence[Opened], checkpoint: Checkpoint) -> list[Artefact]:
    """Everything as artefacts: files made elsewhere as made from `checkpoint`.

    `InputError` if one is a model of other shapes, or if two go by the same name, which no report could tell apart.
    """
    bound = [one if isinstance(one, Artefact) else one.bound_to(checkpoint) for one in opened]
    seen: set[tuple[str, str]] = set()
    for artefact in bound:
        key = artefact.manifest.recipe, artefact.manifest.label
        if key in seen:
            raise InputError(f"two {key[1]} files go by the name {key[0]}: rename one, or check one at a time")
        seen.add(key)
    return bound


def described(checkpoint: Checkpoint) -> str:
    """The reference in words."""
    return f"{checkpoint.name} ({checkpoint.source.stored_as} weights) computed in float32 by torch"


def require_source(artefact: Artefact, checkpoint: Checkpoint) -> None:
    """`InputError` if an artefact was made from another checkpoint."""
    source = artefact.manifest.source
    wanted, found = source.sha256, checkpoint.source.sha256
    if wanted == found and source.definition != checkpoint.definition:
        raise InputError(
            f"{artefact.name} was made from the weights of {checkpoint.name} with another config, tokenizer or chat "
            "template: build it again"
        )
    if wanted != found:
        raise InputError(
            f"{artefact.name} was made from {artefact.manifest.source.name} (sha256 {wanted[:12]}…), "
            f"and {checkpoint.name} has sha256 {found[:12]}…: check artefacts of one checkpoint at a time, "
            "and give that one with --checkpoint"
        )
