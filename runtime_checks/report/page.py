"""The report: one record of everything checked, and the JSON, HTML and Markdown that are rendered from it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from smolship import __version__
from smolship.artefact import write_atomically
from smolship.runtime_checks.chart import Point, scatter
from smolship.runtime_checks.measurements import REFUSED, Host, Measurements, OnDevice, Speed
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.verdicts import Verdict, judge, values, where_measured
from smolship.targets import METRICS, Target
from smolship.targets.units import UNITS, show, show_number

FILES = ("report.json", "report.html", "report.md")
Columns = tuple[tuple[str, str], ...]
COLUMNS: Columns = (
    ("model_size", "size"),
    ("kl_mean", "mean KL"),
    ("top1", "top-1"),
    ("perplexity_ratio", "PPL ratio"),
    ("prefill_512", "prefill 512"),
    ("decode", "decode"),
    ("first_token", "first token"),
    ("peak_memory", "peak memory"),
)
"""the metrics of the table at the top, with short headings"""
COLUMNS_ON_DEVICE: Columns = (
    ("model_size", "size"),
    ("kl_topk", "KL over top tokens"),
    ("kl_topk_host", "KL from this host"),
    ("top1_host", "top-1 as here"),
    ("prefill_512", "prefill 512"),
    ("decode", "decode"),
    ("sustained", "decode, sustained"),
    ("first_token", "first token"),
    ("peak_memory", "peak memory"),
)
"""the same of a device: the divergence over all tokens takes every logit"""


class Checked(BaseModel):
    """One artefact: what was measured and what the target says to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measurements: Measurements
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> Literal["pass", "fail", "failed to run", "refused"]:
        """Whether every budget that could be judged is kept."""
        if failure := self.measurements.failure:
            return "refused" if failure.stage == REFUSED else "failed to run"
        return "fail" if any(verdict.outcome == "fail" for verdict in self.verdicts) else "pass"


class Stage(BaseModel):
    """One stage of the work and its wall time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seconds: float


class Report(BaseModel):
    """Everything that was checked against one target: the contents of `report.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report_version: Literal[1] = 1
    smolship: str = __version__
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    target: str
    target_title: str
    target_measured_here: bool
    device: str = ""
    """the name of the device that was measured, if that was not this host"""
    checked: tuple[Checked, ...]
    identical: tuple[str, ...] = ()
    """what was proved of the integers in the files, a sentence each"""
    stages: tuple[Stage, ...] = ()
    """where the time went, if artefacts were built too"""

    @property
    def all_well(self) -> bool:
        """Whether no artefact failed a budget or failed to run."""
        return all(each.outcome == "pass" for each in self.checked)


def report_of(measurements: Sequence[Measurements], target: Target, device: str = "") -> Report:
    """Judge what was measured of several artefacts, on this host or on a device of that name, against one target."""
    checked = tuple(Checked(measurements=each, verdicts=judge(each, target)) for each in measurements)
    return Report(
        target=target.name,
        target_title=target.title,
        target_measured_here=target.measured_here,
        device=device,
        checked=checked,
    )


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write `report.json`, `report.html` and `report.md` into `folder`, each replaced in one step; their paths."""
    contents = (report.model_dump_json(indent=2) + "\n", render(report, "html"), render(report, "md"))
    paths = [folder / name for name in FILES]
    for path, content in zip(paths, contents, strict=True):
        write_atomically(path, content.encode())
    return paths


def render(report: Report, kind: Literal["html", "md"]) -> str:
    """The report as one self-contained HTML page, or as Markdown for a CI summary."""
    environment = Environment(
        loader=PackageLoader("smolship.runtime_checks"),
        autoescape=kind == "html",  # noqa: S701 - Markdown is no HTML; its readers sanitise
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"report.{kind}.j2").render(**_view(report))


def figure(metric: str, value: float | None) -> str:
    """A metric's value as people read it, or a dash."""
    return "–" if value is None else show(value, METRICS[metric].unit)


def cell(metric: str, value: float | None) -> str:
    """The same without its unit, for a table whose heading names it."""
    return "–" if value is None else show_number(value, METRICS[metric].unit)


def speed_with_spread(speed: Speed) -> str:
    """The median rate with the slowest and the fastest repeat."""
    low, high = speed.rates
    return f"{show(speed.rate, UNITS['tok/s'])} ({low:,.0f} to {high:,.0f}, {len(speed.seconds)} repeats)"


def _view(report: Report) -> dict[str, Any]:
    """What the templates need: they lay out, everything is computed here."""
    rows = [_row(each, columns_of(report)) for each in report.checked]
    ran = [each.measurements for each in report.checked if each.measurements.fidelity]
    return {
        "report": report,
        "rows": rows,
        "columns": [(heading, METRICS[metric].unit.name) for metric, heading in columns_of(report)],
        "counts": counts(report),
        "where": where(report),
        "disturbed": disturbances(report),
        "setting": _setting(report),
        "flattered": sorted({each.measurements.subject.name for each in report.checked if _flattered(each)}),
        "stored_as": ", ".join(sorted({each.measurements.subject.stored_as for each in report.checked})),
        "charts": [_chart(ran, "kl_mean"), _chart(ran, "top1")] if ran else [],
        "metrics": METRICS,
    }


def columns_of(report: Report) -> Columns:
    """The metrics of the table at the top, with short headings."""
    return COLUMNS_ON_DEVICE if report.device else COLUMNS


def _row(checked: Checked, columns: Columns) -> dict[str, Any]:
    measurements = checked.measurements
    subject, found = measurements.subject, values(measurements)
    return {
        "name": f"{subject.recipe} {subject.format}",
        "anchor": f"{subject.name}-{subject.recipe}-{subject.format}".replace(" ", "-"),
        "runtime": runtime_for(subject.format).title,
        "cells": [cell(metric, found[metric]) for metric, _ in columns],
        "bits": f"{subject.bits_per_weight:.2f}",
        "outcome": checked.outcome,
        "checked": checked,
        "figures": _figures(measurements, found),
        "differences": _differences(measurements),
        "prediction": prediction(measurements),
    }


def prediction(measurements: Measurements) -> str | None:
    """What was predicted of the file beside what was measured, in words; `None` if nothing was predicted."""
    foreseen = measurements.subject.predicted_divergence
    if foreseen is None:
        return None
    found = values(measurements)["kl_mean"]
    measured = "not measured" if found is None else f"measured {figure('kl_mean', found)}"
    return f"{METRICS['kl_mean'].title}: predicted {figure('kl_mean', foreseen)}, {measured}"


def _differences(measurements: Measurements) -> list[tuple[str, str]]:
    """Where the artefact's tokenizer or chat template first parts from the reference's, if it does."""
    agreements = (("tokenizer", measurements.tokenizer), ("chat_template", measurements.chat_template))
    return [
        (METRICS[name].title, found.first_difference)
        for name, found in agreements
        if found is not None and found.first_difference is not None
    ]


def _figures(measurements: Measurements, found: dict[str, float | None]) -> list[tuple[str, str]]:
    """Everything measured of one artefact, a line each."""
    speeds = {f"prefill of {n} tokens": speed for n, speed in measurements.prefill.items()}
    if measurements.decode:
        speeds[f"decode of {measurements.decode.tokens} tokens"] = measurements.decode
    lines = [(name, speed_with_spread(speed)) for name, speed in speeds.items()]
    told = {"prefill_64", "prefill_512", "decode"}
    lines += [(_title(name, measurements), figure(name, found[name])) for name in METRICS if name not in told]
    lines += _compared(measurements)
    if measurements.sustained and measurements.sustained.rates:
        rates = measurements.sustained.rates
        lines.append(
            ("decode, first and last slice of a run without a pause", f"{rates[0]:,.1f} and {rates[-1]:,.1f} tok/s")
        )
    if measurements.first_token and measurements.first_token.warmup_seconds is not None:
        lines.append(("the very first token after loading", f"{measurements.first_token.warmup_seconds:.3f} s"))
    if measurements.after_imports:
        lines.append(("memory after the runtime's imports", figure("peak_memory", measurements.after_imports.rss)))
    if measurements.after_load:
        lines.append(("memory after loading", figure("peak_memory", measurements.after_load.rss)))
    return lines


def _title(metric: str, measurements: Measurements) -> str:
    """A metric's title; with a device's figures, what this host measured says so."""
    elsewhere = measurements.device is not None and where_measured(metric, measurements) == "on this host"
    return METRICS[metric].title + (", on this host" if elsewhere else "")


def _compared(measurements: Measurements) -> list[tuple[str, str]]:
    """The comparisons by the most likely tokens: kl_topk and top-1 agreement of each."""
    pairs = (
        ("this run against the reference", measurements.topk),
        ("this host's run against the reference", measurements.host_topk),
        ("this run against this host's", measurements.from_host),
        ("this host's against itself, taken another way", measurements.host_noise),
    )
    return [
        (
            f"kl_topk, {title}",
            f"{found.kl_mean:.3g} nats, top-1 {found.top1:.1%}, with near ties {found.top1_or_near:.1%}",
        )
        for title, found in pairs
        if found
    ]


def _setting(report: Report) -> list[tuple[str, str]]:
    """Under what conditions the figures were taken."""
    first = next((each.measurements for each in report.checked if each.measurements.host), None)
    if first is None or first.host is None:
        return []
    host, text = first.host, first.text
    loads = [each.measurements.host for each in report.checked if each.measurements.host]
    before, after = loads[0].load_average[0], (loads[-1].load_average_after or loads[-1].load_average)[0]
    runtimes = {name: version for each in report.checked for name, version in each.measurements.runtime.items()}
    lines = [
        _machine(report, first, host),
        ("Threads", str(host.threads)),
        ("Load", f"{before:.2f} before the first artefact, {after:.2f} after the last (average of one minute)"),
        ("Reference", first.reference),
        ("Runtimes", ", ".join(f"{name} {version}" for name, version in sorted(runtimes.items()))),
        ("Context", f"{first.subject.context:,} tokens"),
    ]
    lines += _doing(report)
    if text:
        tokens = text.windows * text.length
        lines.insert(3, ("Text", f"{text.name}: {tokens:,} tokens in {text.windows} windows of {text.length}"))
    return lines


def _machine(report: Report, first: Measurements, host: Host) -> tuple[str, str]:
    """What was measured on."""
    if first.device is None:
        return ("Host", f"{host.cpu}, {host.usable_cores} cores, {host.system}, {host.machine}")
    facts = first.device.facts
    return ("Device", f"{report.device}: {facts.model}, {facts.kernel}, {facts.libc}, {facts.cores} cores")


def _doing(report: Report) -> list[tuple[str, str]]:
    """How the device was doing, from before the first artefact to after the last."""
    devices = _on_devices(report)
    if not devices:
        return []
    first, last = devices[0].before, devices[-1].after or devices[-1].before
    lines: list[tuple[str, str]] = []
    if first.governor:
        lines.append(("Governor", first.governor))
    if first.temperature is not None and last.temperature is not None:
        lines.append(("Temperature", f"{first.temperature:.1f} °C before, {last.temperature:.1f} °C after"))
    if last.throttled is not None:
        lines.append(("Throttling", "none" if not last.throttled else f"{last.throttled:#x} (vcgencmd get_throttled)"))
    return lines


def counts(report: Report) -> dict[str, int]:
    """How many verdicts there are of each kind."""
    outcomes = [verdict.outcome for each in report.checked for verdict in each.verdicts]
    return {name: outcomes.count(name) for name in ("pass", "fail", "not measured")}


def where(report: Report) -> str:
    """Where the figures come from, in words."""
    return "on the device" if report.device else "on this host"


def disturbances(report: Report) -> list[str]:
    """What made a run on the device untrustworthy, each thing as it was seen first."""
    seen: dict[str, str] = {}
    for words in (words for device in _on_devices(report) for words in device.disturbances):
        seen.setdefault(words.partition(":")[0], words)
    return list(seen.values())


def _on_devices(report: Report) -> list[OnDevice]:
    """The device at each artefact's run that reached one."""
    return [each.measurements.device for each in report.checked if each.measurements.device]


def _flattered(checked: Checked) -> bool:
    return checked.measurements.subject.already_quantised


def _chart(measurements: Sequence[Measurements], metric: str) -> dict[str, Any]:
    points = []
    for each in measurements:
        value = values(each)[metric]
        if value is not None:
            unit = METRICS[metric].unit
            points.append(
                Point(each.subject.model_size / 1e6, value / unit.factor, each.subject.format, each.subject.recipe)
            )
    title = METRICS[metric].title
    return {"title": title[0].upper() + title[1:], "unit": METRICS[metric].unit.name, "plot": scatter(points)}
