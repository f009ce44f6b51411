"""Inspect: what an artefact's manifest says, and whether its files are unchanged."""

from pathlib import Path

from smolship.artefact import Artefact


def inspect(folder: Path) -> Artefact:
    """Open the artefact in `folder` and compare every file with its hash (`InputError` names one that differs)."""
    artefact = Artefact.open(folder)
    artefact.verify()
    return artefact
