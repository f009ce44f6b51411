"""What each verb shows: a result as tables for a person and as plain data for `--json`, from the same figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from smolship.terminal import megabytes, table

if TYPE_CHECKING:
    from smolship.artefact import Artefact, Manifest
    from smolship.quantize import Recipe
    from smolship.runtime_checks.report import Report
    from smolship.targets import Target
    from smolship.workflows.build import Built
    from smolship.workflows.device import Seen
    from smolship.workflows.doctor import Finding
    from smolship.workflows.inspect import GridShare
    from smolship.workflows.smoke import Smoked


@dataclass(frozen=True)
class View:
    """One result in both forms."""

    tables: tuple[Table, ...]
    data: Any
    notes: tuple[str, ...] = ()

    def show(self, console: Console, *, as_json: bool) -> None:
        """Print the tables, or the data as JSON."""
        if as_json:
            console.file.write(json.dumps(self.data, indent=2, ensure_ascii=False) + "\n")
            return
        for made in self.tables:
            console.print(made)
        for note in self.notes:
            console.print(note, markup=False, soft_wrap=True)


def built(results: Sequence["Built"]) -> View:
    """What `build` wrote or kept."""
    rows = []
    for one in results:
        manifest = one.artefact.manifest
        done = "kept" if one.kept else f"written in {one.seconds:.0f} s"
        size, bits = megabytes(manifest.model_bytes), f"{manifest.bits_per_weight:.2f}"
        rows.append((str(one.artefact.folder), size, bits, done))
    data = [
        {
            "folder": str(one.artefact.folder),
            "kept": one.kept,
            "seconds": round(one.seconds, 2),
            "manifest": one.artefact.manifest.model_dump(mode="json", exclude={"coverage"}),
        }
        for one in results
    ]
    columns = ("artefact", "model size", "bits/weight", "")
    return View((table("Built", columns, rows, ("model size", "bits/weight")),), data)


def inspected(artefact: "Artefact", *, every_tensor: bool) -> View:
    """An artefact's manifest and coverage."""
    from smolship.workflows.inspect import shares

    manifest = artefact.manifest
    source = manifest.source
    kind = f"{source.name}, {source.kind} {source.location}, {source.stored_as} weights"
    if source.already_quantised:
        kind += " (already quantised: low-bit figures flatter)"
    facts = [
        ("source", kind),
        ("format", manifest.format),
        ("recipe", f"{manifest.recipe} (rounding: {manifest.rounding})"),
        ("context", f"{manifest.context} tokens"),
        ("bits/weight", f"{manifest.bits_per_weight:.3f}"),
        *_predicted(manifest),
        ("made with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]
    files = [(file.path, f"{file.bytes:,}", file.sha256) for file in manifest.files]
    tables = [
        table(str(artefact.folder), ("", ""), facts),
        table("Files (every hash holds)", ("file", "bytes", "sha256"), files, ("bytes",)),
    ]
    if every_tensor:
        lines = [
            (
                one.tensor,
                "×".join(map(str, one.shape)),
                one.grid,
                f"{one.bits_per_weight:.3f}",
                f"{one.relative_error:.4f}",
            )
            for one in manifest.coverage
        ]
        columns = ("tensor", "shape", "grid", "bits/weight", "relative error")
        tables.append(table("Coverage", columns, lines, ("bits/weight", "relative error")))
    else:
        lines = [
            (one.grid, str(one.tensors), f"{one.weights:,}", f"{one.bits_per_weight:.3f}", _worst(one))
            for one in shares(manifest.coverage)
        ]
        columns = ("grid", "tensors", "weights", "bits/weight", "largest relative error")
        tables.append(table("Coverage (--tensors for every line)", columns, lines, columns[1:4]))
    return View(tuple(tables), manifest.model_dump(mode="json"))


def _predicted(manifest: "Manifest") -> list[tuple[str, str]]:
    foreseen = manifest.predicted_divergence
    return [] if foreseen is None else [("predicted", f"{foreseen:.4f} nats of KL divergence; `check` measures it")]


def _worst(share: "GridShare") -> str:
    return f"{share.worst_error:.4f} ({share.worst_tensor})"


def report(made: "Report", folder: Path | None) -> View:
    """What was checked: the figures, every budget that did not pass, and what was proved."""
    notes = [*made.identical, *_report_notes(made)]
    if folder is not None:
        notes.append(f"Report: {folder / 'report.html'}")
    notes.append(_summary(made))
    return View(_report_tables(made), made.model_dump(mode="json"), tuple(notes))


def _report_tables(made: "Report") -> tuple[Table, ...]:
    from smolship.runtime_checks.report import cell, columns_of, where
    from smolship.runtime_checks.verdicts import values
    from smolship.targets import METRICS

    columns = columns_of(made)
    figures: list[tuple[str, ...]] = []
    exceptions: list[tuple[str, ...]] = []
    for one in made.checked:
        subject, found = one.measurements.subject, values(one.measurements)
        name = f"{subject.recipe} {subject.format}"
        figures.append((name, *(cell(metric, found[metric]) for metric, _ in columns), one.outcome))
        if failure := one.measurements.failure:
            budget = "all" if one.outcome == "refused" else f"the runtime, at {failure.stage}"
            exceptions.append((name, budget, "", failure.message, one.outcome))
        exceptions += [(name, v.title, v.limit, v.shown, v.outcome) for v in one.verdicts if v.outcome != "pass"]
    headings = tuple("\n".join([*heading.split(), METRICS[metric].unit.name]) for metric, heading in columns)
    place = f"{where(made)} {made.device}".strip()
    title = f"Measured {place}, held against the budgets of {made.target}"
    tables = [table(title, ("artefact", *headings, ""), figures, headings, dense=True)]
    if exceptions:
        tables.append(table("Budgets that did not pass", ("artefact", "budget", "limit", "measured", ""), exceptions))
    return tuple(tables)


def _report_notes(made: "Report") -> list[str]:
    from smolship.runtime_checks.report import disturbances, prediction

    notes = [
        f"{one.measurements.subject.recipe} {one.measurements.subject.format}, {told}"
        for one in made.checked
        if (told := prediction(one.measurements))
    ]
    if disturbed := disturbances(made):
        notes.append(f"Disturbed, so its speeds are not trusted: {'; '.join(disturbed)}")
    return [*notes, *_source_note(made)]


def smoked(results: Sequence["Smoked"], written: Sequence[Path]) -> View:
    """What came of each device."""
    tables: list[Table] = []
    notes: list[str] = []
    for one in results:
        if one.report:
            tables += [*_report_tables(one.report), *_comparison(one.report)]
            notes += [f"{one.place.name}: {note}" for note in (*_report_notes(one.report), _summary(one.report))]
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
    from smolship.runtime_checks.report import figure

    rows = []
    for one in made.checked:
        found = one.measurements
        if found.topk and found.host_topk and found.from_host:
            name = f"{found.subject.recipe} {found.subject.format}"
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


def _summary(made: "Report") -> str:
    from smolship.runtime_checks.report import counts

    found = counts(made)
    told = f"{found['pass']} budgets pass, {found['fail']} fail"
    if unmeasured := found["not measured"]:
        told += f", {unmeasured} not measured"
    return f"{told}: {'all that was judged is well' if made.all_well else 'not all is well'}"


def _source_note(made: "Report") -> list[str]:
    subjects = [one.measurements.subject for one in made.checked]
    if not any(subject.already_quantised for subject in subjects):
        return []
    stored = subjects[0].stored_as
    return [f"The checkpoint itself is {stored}: its 4-bit figures flatter, for its weights lie on a grid already"]


def targets(profiles: Sequence["Target"]) -> View:
    """The profiles that can be named."""
    rows = [(one.name, one.title, str(len(one.budget)), one.notes) for one in profiles]
    made = table("Targets", ("name", "device", "budgets", "notes"), rows, ("budgets",))
    return View((made,), [one.model_dump(mode="json") for one in profiles])


def target(profile: "Target") -> View:
    """One profile with its budgets."""
    rows = [(one.of.title, one.recipe or "any", one.format or "any", str(one), one.source) for one in profile.budget]
    made = table(profile.title, ("budget", "recipe", "format", "limit", "source"), rows)
    return View((made,), profile.model_dump(mode="json"))


def recipes(table_of: Sequence["Recipe"]) -> View:
    """The recipes and what they do."""
    rows = [(one.name, one.linear, one.embedding, one.rounding, one.summary, one.cost) for one in table_of]
    made = table("Recipes", ("name", "layers", "embedding and head", "rounding", "what for", "takes"), rows)
    return View((made,), [asdict(one) for one in table_of])


def doctor(findings: Sequence["Finding"]) -> View:
    """What was found on this machine."""
    rows = [(one.subject, "ok" if one.ok else "missing", one.found, one.advice) for one in findings]
    return View((table("This machine", ("what", "", "found", "what to do"), rows),), [asdict(one) for one in findings])
