"""Writing a comparison: JSON for programs, Markdown for a pull request; each file replaced in one step."""

import os
from pathlib import Path

from smolship.artefact import write_all
from smolship.errors import InputError
from smolship.runtime_checks.comparison.comparison import Comparison
from smolship.runtime_checks.comparison.words import COLUMNS, lines, notes, summary, tally, titles
from smolship.runtime_checks.templates import templates_of

FILES = ("comparison.json", "comparison.md")


def require_place(folder: Path) -> None:
    """`InputError` if no folder can be made there: better said before hours of measuring than after."""
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "may not be written" if nearest.is_dir() else "is a file"
        raise InputError(f"cannot write into {folder} ({nearest} {why}): choose another --out")


def write_comparison(comparison: Comparison, folder: Path, *, every: bool = False) -> list[Path]:
    """Write `FILES` into `folder`, which is made if it is not there; their paths."""
    contents = (comparison.model_dump_json(indent=2) + "\n", markdown(comparison, every=every))
    return write_all(folder, {name: content.encode() for name, content in zip(FILES, contents, strict=True)})


def markdown(comparison: Comparison, *, every: bool = False) -> str:
    """What changed, as Markdown; with `every`, all figures."""
    environment = templates_of("smolship.runtime_checks.comparison")
    named = zip(titles(comparison), comparison.pairs, strict=True)
    return environment.get_template("comparison.md.j2").render(
        comparison=comparison,
        summary=summary(comparison),
        columns=COLUMNS,
        pairs=[(name, pair, tally(pair), lines(pair, every=every)) for name, pair in named],
        notes=notes(comparison),
    )
