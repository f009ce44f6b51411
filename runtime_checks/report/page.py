"""The report as one self-contained HTML page and as Markdown: the templates lay out what is computed here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from smolship.runtime_checks.measurements import HERE, Measurements
from smolship.runtime_checks.report.charts import Bar, Chart, Point, budget_chart, layer_chart, size_chart
from smolship.runtime_checks.report.coverage import GridShare, layer_errors, shares
from smolship.runtime_checks.report.figures import (
    Lines,
    by_place,
    cell,
    columns_of,
    differences,
    disturbances,
    everything,
    prediction,
    setting,
)
from smolship.runtime_checks.report.report import PASSING, Checked, Judge, Judged, Report
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.templates import templates_of
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

CHARTED = ("peak_memory", "prefill_512", "decode")
"""the metrics drawn against the limits of each target"""
REASONS = 2
"""budgets that the matrix names in one of its fields"""


@dataclass(frozen=True)
class Field:
    """One field of the matrix: an artefact held against a target."""

    outcome: str
    told: str
    """what broke or was not measured, in a few words"""
    anchor: str


@dataclass(frozen=True)
class Place:
    """The short table of what was measured in one place."""

    name: str
    headings: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    """artefact, bits a weight, figures"""
    setting: Lines
    disturbed: list[str]


@dataclass(frozen=True)
class Detail:
    """Everything of one artefact."""

    title: str
    anchor: str
    runtime: str
    checked: Checked
    outcome: str
    differences: Lines
    prediction: str | None
    figures: tuple[tuple[str, Lines], ...]
    """place by place"""
    answers: tuple[Measurements, ...]
    """the records that have answers"""
    grids: tuple[GridShare, ...]


def render(report: Report, kind: Literal["html", "md"]) -> str:
    """The report as one HTML page that needs nothing else, or as Markdown for a pull request or a CI summary."""
    environment = templates_of("smolship.runtime_checks.report", html=kind == "html")
    view = _view(report)
    if kind == "html":
        view["charts"], view["layers"] = _charts(report), _layer_charts(report)
    return environment.get_template(f"report.{kind}.j2").render(**view)


def reason(judged: Judged) -> str:
    """What keeps an artefact from a target, in a few words; nothing if it passes."""
    if judged.outcome == "no runtime":
        return "the target runs no files of this format"
    if judged.outcome not in ("fail", "not measured"):
        return ""
    named = [verdict for verdict in judged.verdicts if verdict.outcome == judged.outcome]
    if judged.outcome == "not measured":
        return ", ".join(verdict.title for verdict in named)
    more = f"; {len(named) - REASONS} more" if len(named) > REASONS else ""
    return "; ".join(f"{one.title} {one.shown}, limit {one.limit}" for one in named[:REASONS]) + more


def _view(report: Report) -> dict[str, Any]:
    records = [record for one in report.checked for record in one.records]
    subjects = [one.subject for one in report.checked]
    return {
        "report": report,
        "title": ", ".join(dict.fromkeys(subject.name for subject in subjects)),
        "matrix": [(one.subject.title, anchor_of(one), [_field(one, j) for j in one.judged]) for one in report.checked],
        "counts": report.counts,
        "unmeasured_alone": report.unmeasured_alone,
        "places": [_place(name, group) for name, group in by_place(records).items()],
        "elsewhere": [judge for judge in report.targets if not _measured_for(report, judge)],
        "flattered": sorted({subject.name for subject in subjects if subject.already_quantised}),
        "stored_as": ", ".join(sorted({subject.stored_as for subject in subjects})),
        "details": [_detail(one) for one in report.checked],
        "here": HERE,
    }


def anchor_of(checked: Checked) -> str:
    """The fragment of an artefact's part of the page."""
    return checked.subject.name_of_file.replace(" ", "-")


def _field(checked: Checked, judged: Judged) -> Field:
    return Field(judged.outcome, reason(judged), f"{anchor_of(checked)}-{judged.target}")


def _measured_for(report: Report, judge: Judge) -> bool:
    """Whether anything was measured that may speak for that target's speed."""
    records = [record for one in report.checked for record in one.records]
    there = any(record.device is not None and record.device.target == judge.name for record in records)
    return there or (judge.measured_here and any(record.device is None for record in records))


def _place(name: str, records: Sequence[Measurements]) -> Place:
    columns = columns_of(records)
    rows = []
    for one in records:
        found = values(one)
        figures = tuple(cell(metric, found[metric]) for metric, _ in columns)
        rows.append((one.subject.title, f"{one.subject.bits_per_weight:.2f}", figures))
    headings = tuple((heading, METRICS[metric].unit.name) for metric, heading in columns)
    return Place(name, headings, tuple(rows), setting(records), disturbances(records))


def _detail(checked: Checked) -> Detail:
    outcomes = [judged.outcome for judged in checked.judged]
    worst = next((one for one in outcomes if one not in PASSING), "pass")
    return Detail(
        title=checked.subject.title,
        anchor=anchor_of(checked),
        runtime=runtime_for(checked.subject.format).title,
        checked=checked,
        outcome=worst,
        differences=[line for record in checked.records for line in differences(record)],
        prediction=next((told for record in checked.records if (told := prediction(record))), None),
        figures=tuple((record.place, everything(record)) for record in checked.records),
        answers=tuple(record for record in checked.records if record.answers),
        grids=tuple(shares(checked.records[0].coverage)),
    )


def _charts(report: Report) -> list[Chart]:
    """Size against divergence, then each charted metric against the limits of each target that was measured."""
    found = []
    points = [
        Point(record.subject.model_size / 1e6, record.fidelity.kl_mean, record.subject.format, record.subject.recipe)
        for one in report.checked
        if (record := one.here) and record.fidelity and record.fidelity.kl_mean > 0
    ]
    if points:
        found.append(size_chart(points))
    for index, judge in enumerate(report.targets):
        for metric in CHARTED:
            if bars := _bars(report, index, metric):
                of = METRICS[metric]
                title = f"{of.title[0].upper()}{of.title[1:]}, {judge.title}"
                found.append(budget_chart(title, of.unit.name, bars, better=of.better))
    return found


def _bars(report: Report, index: int, metric: str) -> list[Bar]:
    factor = METRICS[metric].unit.factor
    return [
        Bar(one.subject.title, verdict.value / factor, verdict.bound / factor, verdict.outcome == "pass")
        for one in report.checked
        for verdict in one.judged[index].verdicts
        if verdict.metric == metric and verdict.value is not None and verdict.outcome != "not measured"
    ]


def _layer_charts(report: Report) -> list[Chart]:
    """One chart for artefacts whose matrices have the same errors: of one recipe they have, in most formats."""
    groups: dict[Any, list[str]] = {}
    for one in report.checked:
        if errors := layer_errors(one.records[0].coverage):
            groups.setdefault(errors, []).append(one.subject.title)
    return [layer_chart(", ".join(names), errors) for errors, names in groups.items()]
