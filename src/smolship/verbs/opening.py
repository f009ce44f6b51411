"""How verbs open what a user calls a checkpoint."""

from typing import TYPE_CHECKING

from smolship.terminal import messages

if TYPE_CHECKING:
    from smolship.checkpoint import Checkpoint, Outline
    from smolship.progress import Progress


def opened(spec: str, revision: str | None, base: str | None, progress: "Progress") -> "Checkpoint":
    """The checkpoint; what was forgiven or decided of it is said at once, before anything takes long."""
    from smolship.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(spec, revision=revision, base=base, progress=progress)
    tell_notes(checkpoint)
    return checkpoint


def tell_notes(outline: "Outline") -> None:
    """A line for each, on stderr."""
    for note in outline.notes:
        messages().print(f"note: {note}", markup=False, soft_wrap=True)
