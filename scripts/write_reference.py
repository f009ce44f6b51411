"""Write docs/reference/ and the JSON Schemas from the code, so that they cannot differ; `--check` only compares."""

import html
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from smolship.artefact import Manifest
from smolship.export import FORMATS
from smolship.export.executorch.backends import BACKENDS
from smolship.quantize import RECIPES
from smolship.quantize.formats import FORMAT_GRIDS
from smolship.quantize.grids import GRIDS, Grid
from smolship.runtime_checks.comparison import Comparison, limits_of
from smolship.runtime_checks.report import Report
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.targets import METRICS, Target, load_target, target_names

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE_BY = "<!-- Written by scripts/write_reference.py from tables in the code: change those, then `make reference`. -->"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


def command_line() -> str:
    """Every verb and option, by typer's own generator."""
    command = [sys.executable, "-m", "typer", "smolship.cli", "utils", "docs", "--name", "smolship"]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return html.unescape(written)  # it escapes for HTML what Markdown shows as it is


def recipes() -> str:
    """Recipes, what they mean in each format, and the grids."""
    widths = list(dict.fromkeys(width for table in FORMAT_GRIDS.values() for width in table))
    chosen = [(r.name, r.linear, r.embedding, r.rounding, r.summary, r.cost) for r in RECIPES.values()]
    meant = [(width, *(FORMAT_GRIDS[fmt].get(width, "error") for fmt in FORMAT_GRIDS)) for width in widths]
    grids = [(g.name, *_bits(g), _groups(g), g.scale_format.value, g.offset.value, g.note) for g in GRIDS.values()]
    return "\n".join(
        [
            "# Recipes and grids\n",
            "A recipe says which width each kind of tensor gets; norms stay in float32.\n",
            markdown_table(
                ("recipe", "layers", "embedding and head", "rounding", "what for", "takes (135M, two cores)"),
                chosen,
            ),
            "What a width is in each format; where a format lacks it, the recipe is refused and the tensor named.\n",
            markdown_table(("width", *FORMAT_GRIDS), meant),
            "The grids: `weight ≈ scale · level(code) + minimum`. In a super-block scales and minimums are integers",
            "times a float16. Bits a weight are those of a row of 1,536, scales and minimums included.\n",
            markdown_table(("grid", "bits a weight", "levels", "group", "scales", "offset", "note"), grids),
        ]
    )


def _bits(grid: Grid) -> tuple[str, str]:
    """Bits per weight, and the levels: from the lowest to the highest if they are even, else each."""
    even = len(grid.levels) == grid.levels[-1] - grid.levels[0] + 1
    levels = f"[{grid.levels[0]}, {grid.levels[-1]}]" if even else " ".join(map(str, grid.levels))
    return f"{grid.bits_per_weight(1536):.5g}", levels


def _groups(grid: Grid) -> str:
    return f"{grid.group_size or 'row'}" + (f" in super-blocks of {grid.super_group}" if grid.super_group else "")


def formats() -> str:
    """Formats and the runtimes that check them."""
    rows = [(f.name, f.title, f.model_file, RUNTIMES[f.name].title, f"`smolship[{f.extra}]`") for f in FORMATS.values()]
    columns = ("format", "what", "model file", "checked on", "extra")
    lowered = [
        (b.name, b.title, ", ".join(b.grids), "yes" if b.runs_here else "no", b.summary) for b in BACKENDS.values()
    ]
    return "\n".join(
        [
            "# Formats and runtimes\n",
            markdown_table(columns, rows),
            "The backends of ExecuTorch (`--backend`):\n",
            markdown_table(("backend", "what", "grids", "run here", "for"), lowered),
        ]
    )


def targets() -> str:
    """The metrics, how much worse they may get, and every profile with its budgets and their sources."""
    words = {"file": "the file: the same anywhere", "device": "the device it is measured on"}
    metrics = [(m.name, m.title, m.unit.name, m.better, words[m.of]) for m in METRICS.values()]
    limits = [(name, limit.text, limit.source) for name, limit in limits_of([]).items()]
    parts = [
        "# Targets, metrics and budgets\n",
        "A budget on a metric of the device is judged on that device alone; elsewhere it is *not measured*.\n",
        markdown_table(("metric", "what", "unit", "better", "depends on"), metrics),
        "`smolship compare` lets a figure get so much worse where no `--max-regression` says otherwise; speeds and",
        "times are judged with `--rerun` alone.\n",
        markdown_table(("metric", "limit", "why"), limits),
    ]
    return "\n".join(parts + [_target(load_target(name)) for name in target_names()])


def _target(target: Target) -> str:
    device = target.device
    facts = [(title, fact.value, fact.source) for title, fact in device.facts.items()]
    budgets = [(b.metric, str(b), b.scope, b.source) for b in target.budget]
    what = "; ".join(filter(None, (device.architecture, device.cpu, f"runs {', '.join(device.runtimes)}")))
    return "\n".join(
        [
            f"## `{target.name}`: {target.title}\n",
            f"{target.notes}\n" if target.notes else "",
            f"Architecture {what}.\n",
            markdown_table(("device", "value", "source"), facts) if facts else "",
            markdown_table(("budget", "limit", "for", "source"), budgets),
        ]
    )


PAGES = {"command-line.md": command_line, "recipes.md": recipes, "formats.md": formats, "targets.md": targets}


SCHEMAS: dict[str, type[BaseModel]] = {
    "src/smolship/artefact/manifest.schema.json": Manifest,
    "runtime_checks/report/report.schema.json": Report,
    "runtime_checks/comparison/comparison.schema.json": Comparison,
}
"""by the file that ships in the package"""


def text_of(name: str) -> str:
    """The whole text of a page as it has to stand in `docs/reference`."""
    return f"{MADE_BY}\n\n{PAGES[name]().rstrip()}\n"


def main() -> int:
    """Write pages and schemas, or with `--check` name those that are out of date and return 1."""
    stale = []
    texts = {FOLDER / name: text_of(name) for name in PAGES}
    texts |= {ROOT / name: json.dumps(made.model_json_schema(), indent=2) + "\n" for name, made in SCHEMAS.items()}
    for path, text in texts.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    print(f"{'out of date' if '--check' in sys.argv else 'written'}: {', '.join(stale) or 'nothing'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
