"""What each verb shows: a result as tables for a person and as plain data for `--json`, from the same figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from smolship.terminal import megabytes, table

if TYPE_CHECKING:
    from smolship.artefact import Artefact
    from smolship.quantize import Recipe
    from smolship.targets import Target
    from smolship.workflows.build import Built
    from smolship.workflows.doctor import Finding
    from smolship.workflows.inspect import GridShare


@dataclass(frozen=True)
class View:
    """One result in both forms."""

    tables: tuple[Table, ...]
    data: Any

    def show(self, console: Console, *, as_json: bool) -> None:
        """Print the tables, or the data as JSON."""
        if as_json:
            console.file.write(json.dumps(self.data, indent=2, ensure_ascii=False) + "\n")
            return
        for made in self.tables:
            console.print(made)


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


def _worst(share: "GridShare") -> str:
    return f"{share.worst_error:.4f} ({share.worst_tensor})"


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
    rows = [(one.name, one.linear, one.embedding, one.rounding, one.summary) for one in table_of]
    made = table("Recipes", ("name", "layers", "embedding and head", "rounding", "what for"), rows)
    return View((made,), [asdict(one) for one in table_of])


def doctor(findings: Sequence["Finding"]) -> View:
    """What was found on this machine."""
    rows = [(one.subject, "ok" if one.ok else "missing", one.found, one.advice) for one in findings]
    return View((table("This machine", ("what", "", "found", "what to do"), rows),), [asdict(one) for one in findings])
