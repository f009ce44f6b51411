"""The verbs that decide whether files may ship: parse, call a workflow, print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smolship import options
from smolship.errors import InputError, RuntimeFailure
from smolship.terminal import messages, output, showing_progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smolship.runtime_checks.report import Report
    from smolship.workflows.compare import Turns

BROKEN = 1
"""the exit code for a budget that is not kept"""
Records = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDS...",
        help="report.json of checks and smoke tests, measurements.json, or folders that hold one of them.",
    ),
]
COMPARED = "The old release: a folder of artefacts or one artefact, a report.json or its folder."


def check(
    artefacts: options.Checkable,
    *,
    target: options.Targets = options.DEFAULT_TARGETS,
    budget: options.Budgets = None,
    allow_unmeasured: options.AllowUnmeasured = False,
    measurements: options.DeviceRecords = None,
    task: options.Tasks = None,
    rows: options.TaskRows = None,
    checkpoint: options.MadeFrom = None,
    revision: options.Revision = None,
    context: options.ForeignContext = None,
    report: options.ReportFolder = None,
    junit: options.JUnit = None,
    threads: options.Threads = options.DEFAULT_THREADS,
    repeats: options.Repeats = 5,
    timeout: options.Timeout = None,
    text: options.Text = "prose",
    as_json: options.Json = False,
) -> None:
    """Run artefacts, whoever made them, on their own runtimes and hold them against the budgets of targets.

    Writes `measurements.json` and the model card, `README.md`, into each artefact's folder, and a report where
    `--report` says; nothing beside files that other tools made.
    """
    from smolship import views
    from smolship.foreign import open_artefact
    from smolship.runtime_checks.check_artefact import Settings
    from smolship.workflows.check import bind, open_source, prepare, read_tasks
    from smolship.workflows.check import check as run
    from smolship.workflows.gate import gate_of

    gate = gate_of(target, budget or [], allow_unmeasured=allow_unmeasured, measurements=measurements or [])
    opened = [open_artefact(path, context) for path in artefacts]
    formats = {one.format for one in opened}
    gate.require(formats)
    with showing_progress() as progress:
        source = open_source(opened, checkpoint, revision, progress)
        bound = bind(opened, source)
        gate.require_same_files(bound)
        shortest = min(artefact.manifest.context for artefact in bound)
        chosen = prepare(source, formats, shortest, text)
        tasks = read_tasks(task or [], source, shortest, rows)
        if report:
            report.mkdir(parents=True, exist_ok=True)
        measured = run(bound, source, chosen, Settings(threads, repeats, timeout), tasks=tasks, progress=progress)
    made = gate.judge(measured)
    _write(made, report, junit)
    views.report(made, report).show(output(), as_json=as_json)
    tell_kept_readmes(artefacts)
    exit_as(made)


def report(
    records: Records,
    *,
    target: options.TargetsOfRecords = None,
    budget: options.Budgets = None,
    allow_unmeasured: options.AllowUnmeasured = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html, .md, .json and .xml.")] = Path(
        "report"
    ),
    junit: options.JUnit = None,
    as_json: options.Json = False,
) -> None:
    """Put records of several checks and smoke tests into one report, held against the budgets of targets."""
    from smolship import views
    from smolship.workflows.report import report as run

    made = run(records, target or [], budget or [], allow_unmeasured=allow_unmeasured)
    _write(made, out, junit)
    views.report(made, out).show(output(), as_json=as_json)
    exit_as(made)


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


def _write(made: "Report", folder: Path | None, junit: Path | None) -> None:
    from smolship.artefact import write_atomically
    from smolship.runtime_checks.report.junit import junit as xml_of
    from smolship.runtime_checks.report.junit import suites_of
    from smolship.runtime_checks.report.write import write_report

    if folder is not None:
        write_report(made, folder)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(junit, xml_of(suites_of(made)))


def tell_kept_readmes(folders: "Iterable[Path]") -> None:
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
