"""JUnit XML for CI: a suite for each device, a case for each artefact on it."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from smolship.runtime_checks.report import Checked, Report, figure
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

if TYPE_CHECKING:
    from junitparser import TestCase

_NOT_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""no Char of XML 1.0 (2.2): a device may say anything"""


def junit(reports: Mapping[str, Report | None], errors: Mapping[str, str], expected: Sequence[str]) -> bytes:
    """The XML of what came of each device, by name: its report, and in `errors` what ended its run before its end.

    `expected` are the names of the artefacts' folders: one that a device was to run and did not is an error there.
    """
    from junitparser import JUnitXml, TestSuite

    xml = JUnitXml("smolship")
    for device, report in reports.items():
        suite = TestSuite(device)
        checked = report.checked if report else ()
        for one in checked:
            suite.add_testcase(_case(one, device))
        for name in expected[len(checked) :]:
            suite.add_testcase(_not_run(name, device, errors.get(device, "not run")))
        xml.add_testsuite(suite)
    written = io.BytesIO()
    xml.write(written, pretty=True)
    return written.getvalue()


def _case(one: Checked, device: str) -> "TestCase":
    """A failed budget is a failure, a runtime that failed an error, and what was measured the case's own words."""
    from junitparser import Error, Failure, TestCase

    measurements = one.measurements
    subject = measurements.subject
    case = TestCase(f"{subject.name}-{subject.recipe}-{subject.format}", device)
    if failure := measurements.failure:
        case.result = [Error(_text(f"{failure.stage}: {failure.message}"), one.outcome)]
    else:
        case.result = [
            Failure(_text(f"{verdict.title}: {verdict.shown}, limit {verdict.limit}"), "budget")
            for verdict in one.verdicts
            if verdict.outcome == "fail"
        ]
    found = {name: value for name, value in values(measurements).items() if value is not None}
    lines = [f"{METRICS[name].title}: {figure(name, value)}" for name, value in found.items()]
    lines += [
        f"{verdict.title}: not measured, {verdict.shown}"
        for verdict in one.verdicts
        if verdict.outcome == "not measured"
    ]
    case.system_out = _text("\n".join(lines))
    return case


def _not_run(name: str, device: str, reason: str) -> "TestCase":
    from junitparser import Error, TestCase

    case = TestCase(name, device)
    case.result = [Error(_text(reason), "not run")]
    return case


def _text(said: str) -> str:
    return _NOT_XML.sub("�", said)
