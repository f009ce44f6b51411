"""Inspect: what an artefact or a checkpoint is, before anything is done with it."""

from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import MANIFEST_FILE, Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.progress import Progress, Silent

EXAMPLE = (
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Bye."},
)


@dataclass(frozen=True)
class Understood:
    """What is made of a checkpoint."""

    checkpoint: Checkpoint
    rendered: str | None
    """`EXAMPLE` by its chat template, or why that cannot render it; `None` if it has none"""
    refusals: tuple[str, ...]
    """what cannot be built of it, a sentence each"""

    def ends(self) -> dict[str, tuple[str, ...]]:
        """Each token that ends an answer, and the places that say so."""
        tokens, said = self.checkpoint.tokenizer.tokens, self.checkpoint.ends_said
        return {
            f"{tokens[index]} ({index})": tuple(one.place for one in said if index in one.ids)
            for index in self.checkpoint.architecture.end_ids
        }


def is_artefact(place: str) -> bool:
    """Whether a folder holds an artefact's manifest."""
    return (Path(place).expanduser() / MANIFEST_FILE).is_file()


def inspect(folder: Path) -> Artefact:
    """Open the artefact in `folder` and compare every file with its hash (`InputError` names one that differs)."""
    artefact = Artefact.open(folder)
    artefact.verify()
    return artefact


def understand(
    spec: str, revision: str | None = None, base: str | None = None, progress: Progress = Silent()
) -> Understood:
    """Open the checkpoint that `spec` names and say what is made of it; `InputError` if it cannot be taken at all."""
    checkpoint = open_checkpoint(spec, revision=revision, base=base, progress=progress)
    refusals = tuple(why for line in FORMATS.values() if (why := line.refusal(checkpoint)))
    return Understood(checkpoint, _rendered(checkpoint), refusals)


def _rendered(checkpoint: Checkpoint) -> str | None:
    if not checkpoint.is_instruct:
        return None
    try:
        return checkpoint.tokenizer.render_chat(EXAMPLE)
    except InputError as error:
        return str(error)
