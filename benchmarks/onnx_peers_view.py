"""What `onnx_peers` measured, as tables: files, speeds and memory, ratios with their bars.

python benchmarks/onnx_peers_view.py benchmarks/onnx_peers.json
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 140
VERDICTS = {True: "holds", False: "FAILS", None: "–"}
BETTER_LOW = ("peak",)


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
    """Sizes and fidelity."""
    table = Table("file", "MB", "codes + scales, bytes", "graph + tables, bytes", "bar, MB", "", "KL", "top-1")
    for one in record["files"]:
        parts = [f"{one[part]:,}" if part in one else "–" for part in ("codes_and_scales", "graph_and_tables")]
        bar = f"{one['bar'] / 1e6:g}" if "bar" in one else "–"
        fidelity = f"{one['KL']:.4f}", f"{100 * one['top1']:.1f} %"
        table.add_row(one["file"], f"{one['bytes'] / 1e6:.2f}", *parts, bar, VERDICTS[one.get("holds")], *fidelity)
    return table


def runs(record: dict[str, Any]) -> Table:
    """Medians over the rounds, with the least and the most."""
    table = Table("candidate", "decode tok/s", "prefill tok/s", "peak RSS, MB", "by the load", "imports", "load, s")
    for one in record["runs"]:
        shown = [_spread(one[measure]) for measure in ("decode", "prefill", "peak")]
        memory = [f"{statistics.median(one[when]):.0f}" for when in ("loaded", "imports")]
        table.add_row(one["name"], *shown, *memory, f"{statistics.median(one['load']):.2f}")
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
        hardest = (max if measure in BETTER_LOW else min)(group, key=lambda one: one["median"])
        table.add_row(ours, hardest["peer"], measure, *_judged(hardest))
    return table


def _judged(one: dict[str, Any]) -> tuple[str, str, str, str]:
    bar = "–" if one["bar"] is None else f"{'≤' if one['measure'] in BETTER_LOW else '≥'} {one['bar']:g}"
    doubt = ", unsure" if one["sure"] is False else ""  # the interval is on both sides of the bar
    return f"{one['median']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}", bar, VERDICTS[one["holds"]] + doubt


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    show(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
