"""Writing a report: JSON, HTML, Markdown and JUnit XML, each file replaced in one step."""

from pathlib import Path

from smolship.artefact import write_atomically
from smolship.runtime_checks.report.junit import junit, suites_of
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
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    for path, content in zip(paths, contents, strict=True):
        write_atomically(path, content)
    return paths
