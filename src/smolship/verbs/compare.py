"""The verb that holds a release against the one before it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smolship import options
from smolship.errors import InputError, RuntimeFailure
from smolship.terminal import output, showing_progress
from smolship.verbs.endings import BROKEN

if TYPE_CHECKING:
    from smolship.workflows.compare import Turns

COMPARED = "The old release: a folder of artefacts or one artefact, a report.json or its folder."


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help=COMPARED)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same of the new release.")],
    *,
    max_regression: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=LIMIT",
            help="How much worse a figure may get: decode=5%, size=1MB, top1=0.5pp; repeatable. Size, fidelity, "
            "answers, memory and speed have defaults.",
        ),
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Measure speed and memory of both sides in turns, on this machine.")
    ] = False,
    rerun_identical: Annotated[
        bool, typer.Option("--rerun-identical", help="With --rerun: pairs of the same model file too.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=3, help="With --rerun: rounds of turns.", show_default="10")] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="With --rerun: of every runtime.", show_default="the cores here, at most 4"),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="With --rerun: seconds for one turn.", show_default="as for a check")
    ] = None,
    allow_unmeasured: Annotated[
        bool,
        typer.Option("--allow-unmeasured", help="Let pass what is undecided, or was to be judged and could not be."),
    ] = False,
    allow_removed: Annotated[
        bool, typer.Option("--allow-removed", help="Let artefacts pass that OLD has and NEW lacks.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every figure, not only what changed.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for comparison.json and .md.")] = None,
    as_json: options.Json = False,
) -> None:
    """Hold a release against the one before it: what got worse, and whether a limit allows that."""
    from smolship import views
    from smolship.runtime_checks.comparison import Terms, limits_of
    from smolship.runtime_checks.comparison.write import require_place, write_comparison
    from smolship.workflows.compare import compare as run

    terms = Terms(limits_of(max_regression or []), allow_unmeasured, allow_removed)
    if out:
        require_place(out)
    turns = _turns(rerun, rounds, threads, timeout, identical=rerun_identical)
    with showing_progress() as progress:
        made = run(old, new, terms, turns=turns, progress=progress)
    if out:
        write_comparison(made, out, every=every)
    views.compared(made, out, every=every).show(output(), as_json=as_json)
    if "failed to run" in made.outcomes:
        raise typer.Exit(RuntimeFailure.exit_code)
    if not made.all_well:
        raise typer.Exit(BROKEN)


def _turns(
    asked: bool, rounds: int | None, threads: int | None, timeout: float | None, *, identical: bool
) -> "Turns | None":
    """How both sides are run, if `--rerun` says so; `InputError` for an option that would say nothing without it."""
    from smolship.runtime_checks.check_artefact import Settings
    from smolship.workflows.compare import Turns

    if asked:
        settings = Settings(threads or options.DEFAULT_THREADS, repeats=1, timeout=timeout)
        return Turns(settings, rounds or Turns.rounds, identical)
    given = {"--rounds": rounds, "--threads": threads, "--timeout": timeout, "--rerun-identical": identical or None}
    if idle := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{', '.join(idle)}: only with --rerun, for without it nothing is run")
    return None
