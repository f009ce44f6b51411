"""Two releases against each other: how each artefact did, and what changed of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from smolship.terminal import table
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.runtime_checks.comparison import Comparison


def compared(made: "Comparison", folder: Path | None, *, every: bool) -> View:
    """A comparison, and where it was written; with `every`, all figures and not only what changed."""
    from smolship.runtime_checks.comparison.words import COLUMNS, lines, notes, summary, tally, titles

    named = list(zip(titles(made), made.pairs, strict=True))
    rows = [(name, pair.outcome, tally(pair)) for name, pair in named]
    tables = [table(f"{made.old.name} → {made.new.name}", ("artefact", "", "figures"), rows)]
    for name, pair in named:
        if changed := lines(pair, every=every):
            tables.append(table(name, COLUMNS, changed, COLUMNS[1:5]))
    said = notes(made)
    if folder is not None:
        said.append(f"Comparison: {folder / 'comparison.md'}")
    return View(tuple(tables), made.model_dump(mode="json"), (*said, summary(made)))
