"""How the verbs that judge end."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from smolship.errors import InputError, RuntimeFailure
from smolship.terminal import messages

if TYPE_CHECKING:
    from smolship.runtime_checks.report import Report

BROKEN = 1
"""the exit code for a budget that is not kept"""


def tell_kept_readmes(folders: Iterable[Path]) -> None:
    """Say which artefacts have a README.md of their own, and so no model card with the figures."""
    from smolship.workflows.check import kept_readmes

    for sentence in kept_readmes(folders):
        messages().print(sentence, markup=False, soft_wrap=True)


def exit_as(made: "Report") -> None:
    """End with the worst of what was found: 3 before 2 before 1 before 0."""
    if "failed to run" in made.outcomes:
        raise typer.Exit(RuntimeFailure.exit_code)
    if "refused" in made.outcomes:
        raise typer.Exit(InputError.exit_code)
    if not made.all_well:
        raise typer.Exit(BROKEN)
