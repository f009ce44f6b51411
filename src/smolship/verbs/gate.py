"""The verbs that decide whether files may ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smolship import options
from smolship.terminal import output, showing_progress
from smolship.verbs.endings import exit_as, tell_kept_readmes

if TYPE_CHECKING:
    from smolship.runtime_checks.report import Report

Records = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDS...",
        help="report.json of checks and smoke tests, measurements.json, or folders that hold one of them.",
    ),
]


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
    base: options.Base = None,
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
        source = open_source(opened, checkpoint, revision, progress, base=base)
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


def _write(made: "Report", folder: Path | None, junit: Path | None) -> None:
    from smolship.runtime_checks.report.junit import suites_of
    from smolship.runtime_checks.report.write import write_junit, write_report

    if folder is not None:
        write_report(made, folder)
    if junit is not None:
        write_junit(suites_of(made), junit)
