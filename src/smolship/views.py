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
    from smolship.workflows.doctor import Finding
    from smolship.workflows.inspect import GridShare


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
    from smolship.runtime_checks.report import COLUMNS, cell, prediction
    from smolship.runtime_checks.verdicts import values
    from smolship.targets import METRICS

    figures, exceptions, predictions = [], [], []
    for one in made.checked:
        subject, found = one.measurements.subject, values(one.measurements)
        name = f"{subject.recipe} {subject.format}"
        figures.append((name, *(cell(metric, found[metric]) for metric, _ in COLUMNS), one.outcome))
        if failure := one.measurements.failure:
            exceptions.append((name, f"the runtime, at {failure.stage}", "", failure.message, "failed to run"))
        if told := prediction(one.measurements):
            predictions.append(f"{name}, {told}")
        exceptions += [(name, v.title, v.limit, v.shown, v.outcome) for v in one.verdicts if v.outcome != "pass"]
    headings = tuple("\n".join([*heading.split(), METRICS[metric].unit.name]) for metric, heading in COLUMNS)
    title = f"Measured on this host, held against the budgets of {made.target}"
    tables = [table(title, ("artefact", *headings, ""), figures, headings, dense=True)]
    if exceptions:
        tables.append(table("Budgets that did not pass", ("artefact", "budget", "limit", "measured", ""), exceptions))
    notes = [*made.identical, *predictions, *_source_note(made)]
    if folder is not None:
        notes.append(f"Report: {folder / 'report.html'}")
    notes.append(_summary(made))
    return View(tuple(tables), made.model_dump(mode="json"), tuple(notes))


def _summary(made: "Report") -> str:
    from smolship.runtime_checks.report import counts

    found = counts(made)
    told = f"{found['pass']} budgets pass, {found['fail']} fail"
    if unmeasured := found["not measured here"]:
        told += f", {unmeasured} not measured here"
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
