"""The verbs that show what there is: an artefact or a checkpoint, targets, recipes, this machine."""

from pathlib import Path
from typing import Annotated

import typer

from smolship import options
from smolship.errors import InputError
from smolship.terminal import output, showing_progress
from smolship.verbs.endings import BROKEN


def inspect(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ARTEFACT|CHECKPOINT",
            help="A folder that `build` wrote; or a checkpoint: `embedded`, a hub id, a folder, a GGUF, an adapter.",
        ),
    ],
    *,
    revision: options.Revision = None,
    base: options.Base = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="Every tensor's grid, bits and error.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show what an artefact is, every file's hash verified; or what is understood of a checkpoint, before building."""
    from smolship import views
    from smolship.workflows.inspect import inspect as run
    from smolship.workflows.inspect import is_artefact, understand

    artefact = is_artefact(what)
    given = {"--tensors": tensors and not artefact, "--revision": revision and artefact, "--base": base and artefact}
    for option, pointless in given.items():
        if pointless:
            raise InputError(f"{option} says nothing of {'an artefact' if artefact else 'a checkpoint'}: leave it out")
    if artefact:
        views.inspected(run(Path(what).expanduser()), every_tensor=tensors).show(output(), as_json=as_json)
        return
    with showing_progress() as progress:
        found = understand(what, revision, base, progress)
    views.understood(found).show(output(), as_json=as_json)


def targets(
    name: Annotated[str | None, typer.Argument(help="One profile, or your own .toml file: show its budgets.")] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List the device profiles, or show one with its budgets and where every number comes from."""
    from smolship import views
    from smolship.targets import load_target, target_names

    view = views.target(load_target(name)) if name else views.targets([load_target(one) for one in target_names()])
    view.show(output(), as_json=as_json)


def recipes(*, as_json: options.Json = False) -> None:
    """List the recipes."""
    from smolship import views
    from smolship.quantize import RECIPES

    views.recipes(list(RECIPES.values())).show(output(), as_json=as_json)


def doctor(*, as_json: options.Json = False) -> None:
    """Show which runtimes, versions and processor features are here."""
    from smolship import views
    from smolship.workflows.doctor import doctor as look

    findings = look()
    views.doctor(findings).show(output(), as_json=as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(BROKEN)
