"""What a smoke test leaves: a report of each device, and JUnit XML of all."""

from collections.abc import Sequence
from pathlib import Path

from smolship.artefact import Artefact
from smolship.runtime_checks.report.junit import Suite
from smolship.runtime_checks.report.write import write_junit, write_report
from smolship.workflows.smoke import Smoked


def write_reports(
    results: Sequence[Smoked], artefacts: Sequence[Artefact], folder: Path | None, junit_file: Path | None
) -> list[Path]:
    """Write a report of each device that has one below `folder`, and the XML to `junit_file`; the files to look at."""
    written: list[Path] = []
    for result in results:
        if folder is not None and result.report is not None:
            place = folder if len(results) == 1 else folder / result.place.name
            written.append(write_report(result.report, place)[1])
    if junit_file is not None:
        expected = [artefact.folder.name for artefact in artefacts]
        write_junit([_suite(result, expected) for result in results], junit_file)
        written.append(junit_file)
    return written


def _suite(result: Smoked, expected: Sequence[str]) -> Suite:
    checked = result.report.checked if result.report else ()
    error = str(result.error) if result.error else "not run"
    return Suite(
        result.place.name,
        tuple((one, one.judged[0]) for one in checked),
        tuple(expected[len(checked) :]),
        error,
    )
