"""What was built, and what an artefact is."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from smolship.terminal import megabytes, table
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.artefact import Artefact, Manifest
    from smolship.runtime_checks.report.coverage import GridShare
    from smolship.workflows.build import Built
    from smolship.workflows.mobile import Mobile


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
            "replaced": one.replaced,
            "stages": [asdict(lap) | {"seconds": round(lap.seconds, 2)} for lap in one.laps],
            "manifest": one.artefact.manifest.model_dump(mode="json", exclude={"coverage"}),
        }
        for one in results
    ]
    columns = ("artefact", "model size", "bits/weight", "")
    tables = [table("Built", columns, rows, ("model size", "bits/weight"))]
    laps = [
        (one.artefact.folder.name, lap.name, f"{lap.seconds:.1f}", f"{lap.peak_memory / 1e6:,.0f}")
        for one in results
        for lap in one.laps
    ]
    if laps:
        figures = ("seconds", "peak memory by then, MB")
        tables.append(table("Where the time went", ("artefact", "stage", *figures), laps, figures))
    return View(tuple(tables), data, tuple(one.replaced for one in results if one.replaced))


def inspected(artefact: "Artefact", *, every_tensor: bool) -> View:
    """An artefact's manifest and coverage."""
    from smolship.runtime_checks.report.coverage import shares

    manifest = artefact.manifest
    source = manifest.source
    kind = f"{source.name}, {source.kind} {source.location}, {source.stored_as} weights"
    if source.adapter is not None:
        kind += f", a LoRA adapter merged into {source.adapter.merged_into}"
    if source.already_quantised:
        kind += " (already quantised: low-bit figures flatter)"
    facts = [
        ("source", kind),
        ("format", manifest.label),
        ("recipe", f"{manifest.recipe} (rounding: {manifest.rounding})"),
        ("context", f"{manifest.context} tokens"),
        ("bits/weight", f"{manifest.bits_per_weight:.3f}"),
        ("an answer ends at", ", ".join(source.end_tokens)),
        *_predicted(manifest),
        *(("note", note) for note in source.notes),
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
                "–" if one.relative_error is None else f"{one.relative_error:.4f}",
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


def mobile(made: "Mobile") -> View:
    """What `mobile` wrote, and what runs it."""
    rows = [(name, f"{size:,}") for name, size in made.files.items()]
    larger = f"The artefact's model file has {made.onnx_bytes:,} bytes; a model.ort keeps scales in float32."
    runs = f"Runs on ONNX Runtime {made.lowest} and later. Largest difference of a logit here: {made.difference:g}."
    data = {
        "folder": str(made.folder),
        "files": made.files,
        "onnx_bytes": made.onnx_bytes,
        "lowest_onnxruntime": made.lowest,
        "largest_difference": made.difference,
    }
    return View((table(str(made.folder), ("file", "bytes"), rows, ("bytes",)),), data, (larger, runs))


def _predicted(manifest: "Manifest") -> list[tuple[str, str]]:
    foreseen = manifest.predicted_divergence
    return [] if foreseen is None else [("predicted", f"{foreseen:.4f} nats of KL divergence; `check` measures it")]


def _worst(share: "GridShare") -> str:
    return f"{share.worst_error:.4f} ({share.worst_tensor})"
