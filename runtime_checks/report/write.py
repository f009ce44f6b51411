"""Writing a report: JSON, HTML, Markdown and JUnit XML, each file replaced in one step."""

from collections.abc import Sequence
from pathlib import Path

from smolship.artefact import write_all
from smolship.runtime_checks.report.junit import Suite, junit, suites_of
from smolship.runtime_checks.report.page import render
from smolship.runtime_checks.report.report import Report

FILES = ("report.json", "report.html", "report.md", "report.xml")


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write `FILES` into `folder`, which is made if it is not there; their paths."""
    contents = (
        (report.model_dump_json(indent=2) + "\n").encode(),
        render(report, "html").encode(),
        render(report, "md").encode(),
        junit(suites_of(report)),
    )
    return write_all(folder, dict(zip(FILES, contents, strict=True)))


def write_junit(suites: Sequence[Suite], path: Path) -> None:
    """Write JUnit XML of the suites; the file's folder is made if it is not there."""
    write_all(path.parent, {path.name: junit(suites)})
