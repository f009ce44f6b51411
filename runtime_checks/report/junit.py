"""JUnit XML, which GitHub, GitLab and Jenkins read: a suite for each target or device, a case for each artefact."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.report.figures import figure
from smolship.runtime_checks.report.report import Checked, Judged, Report
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

_NOT_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""no Char of XML 1.0 (2.2): a device may say anything"""


@dataclass(frozen=True)
class Suite:
    """The cases of one target or device."""

    name: str
    cases: tuple[tuple[Checked, Judged], ...] = ()
    not_run: tuple[str, ...] = ()
    """names of artefacts that were to be run there and were not"""
    error: str = "not run"
    """why"""


def suites_of(report: Report) -> list[Suite]:
    """A suite for each target of a report."""
    return [
        Suite(judge.name, tuple((one, one.judged[index]) for one in report.checked))
        for index, judge in enumerate(report.targets)
    ]


def junit(suites: Sequence[Suite]) -> bytes:
    """The XML of the suites."""
    xml = JUnitXml("smolship")
    for one in suites:
        suite = TestSuite(one.name)
        for checked, judged in one.cases:
            suite.add_testcase(_case(checked, judged, one.name))
        for name in one.not_run:
            suite.add_testcase(_not_run(name, one))
        xml.add_testsuite(suite)
    written = io.BytesIO()
    xml.write(written, pretty=True)
    return written.getvalue()


def _case(checked: Checked, judged: Judged, suite: str) -> TestCase:
    """A broken budget is a failure, a runtime that failed an error, and what was measured the case's own words.

    A budget that was not measured is a failure where the gate takes it for one.
    """
    record = next(one for one in checked.records if one.place == judged.measured)
    case = TestCase(checked.subject.name_of_file, suite)
    if failure := record.failure:
        case.result = [Error(_text(f"{failure.stage}: {failure.message}"), judged.outcome)]
    else:
        broken = ("fail", "not measured") if judged.outcome == "not measured" else ("fail",)
        case.result = [
            Failure(_text(f"{verdict.title}: {verdict.shown}, limit {verdict.limit}"), "budget")
            for verdict in judged.verdicts
            if verdict.outcome in broken
        ]
    case.system_out = _text("\n".join(_words(record, judged)))
    return case


def _words(record: Measurements, judged: Judged) -> list[str]:
    found = {name: value for name, value in values(record).items() if value is not None}
    return [
        f"measured on {record.place}",
        *(f"{METRICS[name].title}: {figure(name, value)}" for name, value in found.items()),
        *(
            f"{verdict.title}: not measured, {verdict.shown}"
            for verdict in judged.verdicts
            if verdict.outcome == "not measured"
        ),
    ]


def _not_run(name: str, suite: Suite) -> TestCase:
    case = TestCase(name, suite.name)
    case.result = [Error(_text(suite.error), "not run")]
    return case


def _text(said: str) -> str:
    return _NOT_XML.sub("�", said)
