"""Sizes that `smolship plan` predicts beside files that were built, for SmolLM2-360M and 1.7B of random weights.

    python benchmarks/plan_sizes.py [--model 360M ...] [--format gguf ...] [--memory] [--json FILE]

Codes and scales are noise of the right shapes, drawn as they are packed, so that files take seconds to minutes and the
largest fits 16 GB; the tokenizer is the embedded checkpoint's. `--memory` also runs each file on its runtime as `check`
does and puts the process's peak beyond its imports beside the one predicted. Each file is built in a process of its own
with 90 % of the memory that is free; what that refuses stands in the table with the reason.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from smolship.artefact import Artefact, Manifest, list_files, source_of
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.export import FORMATS
from smolship.export.sizes import frame_of, sizes_under
from smolship.quantize import recipe_named
from smolship.quantize.fit import StandIn
from smolship.quantize.formats import grid_of
from smolship.runtime_checks.footprint import Stored, checked, memory_on
from smolship.runtime_checks.job import FULL, job_of, speed_steps
from smolship.runtime_checks.run_probe import JOB_FILE, run_probe, stage
from smolship.targets import Local, load_target

CONTEXT = 2048
RECIPES = ("q4", "q4-e8", "q8")
WORK = Path("build/plan")
MODELS: dict[str, dict[str, Any]] = {
    # What differs from 135M in the config.json of each on the hub.
    "360M": {"hidden": 960, "layers": 32, "heads": 15, "kv_heads": 5, "intermediate": 2560, "rope_theta": 100_000.0},
    "1.7B": {"hidden": 2048, "layers": 24, "heads": 32, "kv_heads": 32, "intermediate": 8192, "rope_theta": 130_000.0},
}


@dataclass(frozen=True)
class Gains:
    """Norm gains drawn at random, by name; matrices are the stand-in's, and nobody reads them here."""

    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str) -> NDArray[np.float32]:
        """No two are alike, for a format may store equal ones once."""
        random = np.random.default_rng(list(self.shapes).index(name))
        return random.uniform(0.5, 1.5, self.shapes[name]).astype(np.float32)


@dataclass(frozen=True)
class Line:
    """One file; bytes."""

    model: str
    recipe: str
    format: str
    predicted: int
    built: int | None = None
    not_built: str | None = None
    predicted_memory: int | None = None
    """of the probe's process beyond its imports"""
    measured_memory: int | None = None


def checkpoint_of(name: str) -> Checkpoint:
    """A model of the right shapes without weights of its own."""
    embedded = open_checkpoint("embedded")
    a = replace(embedded.architecture, **MODELS[name])
    return replace(embedded, name=f"SmolLM2-{name}", architecture=a, tensors=Gains(a.shapes()))


def build(name: str, recipe: str, fmt: str, folder: Path, memory: int) -> None:
    """Pack noise on the recipe's grids into `folder`, in at most so many bytes of memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    checkpoint, chosen = checkpoint_of(name), recipe_named(recipe)
    shapes = {tensor: shape for tensor, shape in checkpoint.architecture.shapes().items() if len(shape) == 2}
    grids = {tensor: grid_of(chosen, tensor, shape[1], fmt).name for tensor, shape in shapes.items()}
    FORMATS[fmt].load().pack(StandIn(checkpoint, chosen, grids=grids), folder, CONTEXT)


def compare(name: str, recipe: str, fmt: str, *, memory: bool) -> Line:
    """Predict and build one file, and measure its memory if that is asked for."""
    checkpoint, line = checkpoint_of(name), FORMATS[fmt]
    sizes = sizes_under(checkpoint, recipe_named(recipe), frame_of(checkpoint, line, CONTEXT))
    made = Line(name, recipe, fmt, sizes.model)
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as place:
        folder = Path(place, "artefact")
        folder.mkdir()
        worker = multiprocessing.get_context("spawn").Process(
            target=build, args=(name, recipe, fmt, folder, available() * 9 // 10)
        )
        worker.start()
        worker.join()
        if worker.exitcode:
            return replace(made, not_built=f"ended with {worker.exitcode} in {available() / 1e9:.0f} GB of free memory")
        made = replace(made, built=(folder / line.model_file).stat().st_size)
        if memory:
            stored = Stored(sizes.model, sizes.matrices, sizes.embedding)
            foreseen = memory_on(load_target("host"), fmt, stored, checkpoint.architecture, checked(CONTEXT))
            measured = measure(checkpoint, recipe, fmt, folder, Path(place))
            return replace(made, predicted_memory=foreseen.anonymous + foreseen.file, measured_memory=measured)
    return made


def measure(checkpoint: Checkpoint, recipe: str, fmt: str, folder: Path, place: Path) -> int:
    """The peak of the probe's process beyond its imports, of the steps that `check` takes before it reads it."""
    source = source_of(checkpoint)
    manifest = Manifest(
        source=source,
        format=fmt,
        recipe=recipe,
        rounding="noise",
        context=CONTEXT,
        model_file=FORMATS[fmt].model_file,
        bits_per_weight=0,
        versions={},
        files=list_files(folder),
        coverage=(),
    )
    tokens = np.random.default_rng(0).integers(17, checkpoint.architecture.vocabulary, max(FULL.prefill)).tolist()
    job = job_of(speed_steps(tokens, CONTEXT, 1, FULL), manifest, threads=2)
    told: dict[str, dict[str, Any]] = {}
    there = Local(place / "probe")
    there.folder.mkdir()
    stage(there, Artefact(folder, manifest), job)
    command = [sys.executable, "-m", "probe", JOB_FILE]
    failure = run_probe(there, lambda record: told.update({record["record"]: record}), timeout=3600, command=command)
    if failure:
        raise SystemExit(f"{fmt} {recipe}: {failure.message}")
    return int(told["memory"]["peak"] - told["imports"]["memory"]["rss"])


def available() -> int:
    """Bytes of memory that are free."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def show(lines: list[Line]) -> None:
    """The comparison as a table."""
    table = Table("model", "recipe", "format", "predicted", "built", "apart", "memory predicted", "measured", "apart")
    for line in lines:
        built = f"{line.built:,}" if line.built is not None else f"not built: {line.not_built}"
        memory = [f"{count / 1e6:,.0f} MB" if count else "" for count in (line.predicted_memory, line.measured_memory)]
        table.add_row(
            line.model,
            line.recipe,
            line.format,
            f"{line.predicted:,}",
            built,
            apart(line.predicted, line.built, digits=4),
            *memory,
            apart(line.predicted_memory, line.measured_memory, digits=1),
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def apart(predicted: int | None, found: int | None, digits: int) -> str:
    """How far the prediction is off."""
    return "" if not predicted or not found else f"{100 * (predicted / found - 1):+.{digits}f} %"


def main() -> None:
    """Parse, compare, print; the JSON is written anew after each file."""
    parser = argparse.ArgumentParser(description="Predicted sizes beside built files")
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--format", action="append", choices=list(FORMATS))
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines: list[Line] = []
    for name in options.model or MODELS:
        for fmt in options.format or FORMATS:
            for recipe in RECIPES:
                lines.append(compare(name, recipe, fmt, memory=options.memory))
                if options.json:
                    text = json.dumps([asdict(line) for line in lines], indent=2)
                    options.json.write_text(text + "\n", encoding="utf-8")
    show(lines)


if __name__ == "__main__":
    main()
