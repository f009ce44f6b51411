"""A device, and what came of smoke tests."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from smolship.terminal import megabytes, table
from smolship.views.reports import notes_of, summary, tables_of
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.runtime_checks.report import Report
    from smolship.workflows.device import Seen
    from smolship.workflows.smoke import Smoked


def smoked(results: Sequence["Smoked"], written: Sequence[Path]) -> View:
    """What came of each device."""
    tables: list[Table] = []
    notes: list[str] = []
    for one in results:
        if one.report:
            tables += [*tables_of(one.report), *_comparison(one.report)]
            notes += [f"{one.place.name}: {note}" for note in (*notes_of(one.report), summary(one.report))]
        if one.error and len(results) > 1:
            notes.append(f"{one.place.name}: {one.error}")
    notes += [f"Written: {path}" for path in written]
    data = [
        {
            "device": one.place.name,
            "error": str(one.error) if one.error else None,
            "report": one.report.model_dump(mode="json") if one.report else None,
        }
        for one in results
    ]
    return View(tuple(tables), data, tuple(notes))


def _comparison(made: "Report") -> tuple[Table, ...]:
    """Each artefact there against the same file here."""
    from smolship.runtime_checks.report.figures import figure

    rows = []
    for one in made.checked:
        found = one.on_devices[0]
        if found.topk and found.host_topk and found.from_host:
            name = found.subject.title
            there, here, apart = found.topk, found.host_topk, found.from_host
            kl = [figure("kl_topk", each.kl_mean) for each in (there, here, apart)]
            answers = f"{sum(answer.right for answer in found.answers)} of {len(found.answers)}"
            rows.append((name, *kl, figure("top1_host", apart.top1), figure("top1_host", apart.top1_or_near), answers))
    columns = ("artefact", "kl_topk there", "kl_topk here", "kl_topk between", "same top-1", "or near tie", "answers")
    title = "The same file there and here, against the fp32 reference and each other"
    return (table(title, columns, rows, columns[1:]),) if rows else ()


def device(seen: "Seen") -> View:
    """What a device is, how it is doing and what can run there."""
    facts, state = seen.facts, seen.state
    lines = [
        ("device", facts.model),
        ("machine", f"{facts.machine}, {facts.cores} cores, {facts.kernel}, {facts.libc}"),
        ("Python", facts.python or "none"),
        ("features", " ".join(facts.features)),
        ("memory", f"{_size(facts.memory_available)} of {_size(facts.memory_total)} free"),
        ("storage", f"{_size(facts.free)} free"),
        ("governor", state.governor or "not told"),
        ("temperature", "not told" if state.temperature is None else f"{state.temperature:.1f} °C"),
        ("load", "not told" if state.load is None else f"{state.load:.2f}"),
        ("busy", "not told" if state.busy is None else f"{state.busy:.0%} of its processors"),
        ("throttled", "not told" if state.throttled is None else f"{state.throttled:#x}"),
        *((f"runs {name}", told) for name, told in seen.runs.items()),
        ("kept there", megabytes(seen.kept)),
    ]
    return View((table(seen.name, ("", ""), lines),), asdict(seen))


def _size(count: int | None) -> str:
    return "not told" if count is None else megabytes(count)
