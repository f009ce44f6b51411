"""What `onnx_peers` or `executorch_peers` measured, as tables: files, speeds and memory, ratios with their bars.

    python benchmarks/peers_view.py benchmarks/onnx_peers.json [--markdown]

`--markdown` gives the tables of docs/performance.md: every candidate, then the bars.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from peers_ratios import LESS_IS_BETTER
from rich.console import Console
from rich.table import Table

WIDTH = 150
VERDICTS = {True: "holds", False: "FAILS", None: "–"}
COUNTS = {
    "codes_and_scales": "codes + scales, bytes",
    "graph_and_tables": "graph + tables, bytes",
    "arena": "planned arena, bytes",
    "delegates": "delegates",
    "instructions": "instructions",
}
"""whole numbers that a format may say of a file"""
SPREAD = {"decode": "decode tok/s", "deep": "after 512", "prefill": "prefill tok/s", "peak": "peak RSS, MB"}
PLAIN = {"own": "without imports", "loaded": "by the load", "load": "load, s"}


def show(record: dict[str, Any], console: Console | None = None) -> None:
    """Every table, then how busy the machine was."""
    console = console or Console(width=WIDTH)
    text = record["text"]
    console.print(f"{record['checkpoint']} on {record['cpu']}, {record['threads']} threads, {record['rounds']} rounds")
    console.print(f"fidelity: {text['name']}, {text['windows']} windows of {text['length']} tokens, against fp32")
    for table in (files(record), runs(record), ratios(record), bars(record)):
        console.print(table)
    before, after = (", ".join(f"{load:.2f}" for load in record[f"load_{when}"]) for when in ("before", "after"))
    console.print(f"load of the machine over 1, 5, 15 minutes: {before} before; {after} after, its own work with it")


def files(record: dict[str, Any]) -> Table:
    """Sizes, what the format counts of a file, and fidelity."""
    counts = [name for name in COUNTS if any(name in one for one in record["files"])]
    apart = any("KL_prefill" in one for one in record["files"])
    table = Table("file", "MB", *(COUNTS[name] for name in counts), "bar, MB", "", "KL", "top-1")
    if apart:
        table.add_column("KL after a whole prompt")
    for one in record["files"]:
        told = [f"{one[name]:,}" if name in one else "–" for name in counts]
        bar = f"{one['bar'] / 1e6:g}" if "bar" in one else "–"
        cells = [f"{one['KL']:.4f}", f"{100 * one['top1']:.1f} %", *([f"{one['KL_prefill']:.4f}"] if apart else [])]
        table.add_row(one["file"], f"{one['bytes'] / 1e6:.2f}", *told, bar, VERDICTS[one.get("holds")], *cells)
    return table


def runs(record: dict[str, Any]) -> Table:
    """Medians over the rounds, with the least and the most."""
    spread, plain = (
        [name for name in names if name in record["runs"][0]["measures"]] for names in (list(SPREAD), list(PLAIN))
    )
    table = Table("candidate", *(SPREAD[name] for name in spread), *(PLAIN[name] for name in plain))
    for one in record["runs"]:
        told = [_spread(one["measures"][name]) for name in spread]
        told += [f"{statistics.median(one['measures'][name]):.{2 if name == 'load' else 0}f}" for name in plain]
        table.add_row(one["name"], *told)
    return table


def ratios(record: dict[str, Any]) -> Table:
    """Each ratio with its interval."""
    table = Table("ours", "peer", "measure", "ours / peer", "95 % interval", "bar", "")
    for one in record["ratios"]:
        table.add_row(one["ours"], one["peer"], one["measure"], *_judged(one))
    return table


def bars(record: dict[str, Any]) -> Table:
    """Each bar against the variant that is hardest to beat."""
    table = Table("bar", "against the best", "measure", "ours / peer", "95 % interval", "bar", "")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in record["ratios"]:
        if one["bar"] is not None:
            groups.setdefault((one["ours"], one["measure"]), []).append(one)
    for (ours, measure), group in groups.items():
        hardest = (max if measure in LESS_IS_BETTER else min)(group, key=lambda one: one["median"])
        table.add_row(ours, hardest["peer"], measure, *_judged(hardest))
    return table


def markdown(record: dict[str, Any]) -> str:
    """Every candidate with its file's size and fidelity, then each bar; medians, with the least and the most."""
    about = {one["file"]: one for one in record["files"]}
    spread = [name for name in SPREAD if name in record["runs"][0]["measures"]]
    lines = [f"| file | MB | KL, nats | top-1, % | {' | '.join(SPREAD[name] for name in spread)} |"]
    lines.append("| --- |" + " --: |" * (3 + len(spread)))
    for run in record["runs"]:
        file = about[run["file"]]
        cells = [f"{statistics.median(run['measures'][name]):.0f}" for name in spread]
        for index, name in enumerate(spread):
            if name not in LESS_IS_BETTER:
                cells[index] += f" ({min(run['measures'][name]):.0f}–{max(run['measures'][name]):.0f})"
        known = f"{file['bytes'] / 1e6:.1f} | {file['KL']:.3g} | {100 * file['top1']:.1f}"
        lines.append(f"| {run['name'].replace('smolship ', '**smolship** ')} | {known} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_pairs(record)])


def _pairs(record: dict[str, Any]) -> list[str]:
    """A line for each of our files and a rival, a column a measure with a bar: ours / theirs, bold if the bar holds."""
    judged = [one for one in record["ratios"] if one["bar"] is not None]
    measures = list(dict.fromkeys(one["measure"] for one in judged))
    lines = [f"| file | peer | {' | '.join(measures)} |", "| --- | --- |" + " --: |" * len(measures)]
    for ours, peer in dict.fromkeys((one["ours"], one["peer"]) for one in judged):
        cells = []
        for one in judged:
            if (one["ours"], one["peer"]) == (ours, peer):
                median = f"**{one['median']:.2f}**" if one["holds"] else f"{one['median']:.2f}"
                cells.append(f"{median} ({one['low']:.2f}–{one['high']:.2f})")
        lines.append(f"| `{ours.removeprefix('smolship ')}` | {peer} | {' | '.join(cells)} |")
    return lines


def _judged(one: dict[str, Any]) -> tuple[str, str, str, str]:
    bar = "–" if one["bar"] is None else f"{'≤' if one['measure'] in LESS_IS_BETTER else '≥'} {one['bar']:g}"
    doubt = ", unsure" if one["sure"] is False else ""  # the interval is on both sides of the bar
    return f"{one['median']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}", bar, VERDICTS[one["holds"]] + doubt


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(markdown(told)) if "--markdown" in sys.argv else show(told)
