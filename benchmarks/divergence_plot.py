"""Divergence against size: this project's files beside other tools', drawn for docs/quantisation.md.

    python benchmarks/divergence_plot.py [--records FILE] [--given-text FILE] [--out docs/images/quantisation.svg]

The records are those that `divergence.py --json` wrote, of one text and one checkpoint in each file; those of files
that were calibrated on a text of the kind that is measured on (`--calibration-text`) are in a file of their own. The
other tools' figures are in peers.toml. The same input gives the same bytes.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORDS, GIVEN_TEXT, PEERS = HERE / "divergence.json", HERE / "divergence_given_text.json", HERE / "peers.toml"
IMAGE = HERE.parent / "docs" / "images" / "quantisation.svg"
LARGEST = 150.0
"""MB: what is larger is left out of the figure, for it would press the rest together"""

STYLES: dict[str, tuple[str, str]] = {
    "llama.cpp": ("#9aa3ad", "o"),
    "llama.cpp, importance matrix": ("#5b6570", "o"),
    "ONNX Runtime GenAI": ("#9aa3ad", "s"),
    "ExecuTorch export_llm": ("#9aa3ad", "^"),
    "smolship, GGUF": ("#c2410c", "o"),
    "smolship, GGUF, calibrated on a given text": ("#a21caf", "o"),
    "smolship, ONNX": ("#0f766e", "s"),
    "smolship, ExecuTorch": ("#4338ca", "^"),
}
"""colour and marker of each series, in the legend's order; the marker is the format's"""
TITLES = {"gguf": "smolship, GGUF", "onnx": "smolship, ONNX", "executorch": "smolship, ExecuTorch"}
TITLES_GIVEN_TEXT = {"gguf": "smolship, GGUF, calibrated on a given text"}
OWN = {*TITLES.values(), *TITLES_GIVEN_TEXT.values()}


@dataclass(frozen=True)
class Point:
    """One file: 10^6 bytes of its model file, nats."""

    series: str
    name: str
    size: float
    divergence: float


def peers(path: Path) -> list[Point]:
    """The other tools' files."""
    lines = tomllib.loads(path.read_text(encoding="utf-8"))["file"]
    return [Point(line["tool"], line["name"], line["MB"], line["KL"]) for line in lines]


def ours(records: Sequence[dict[str, Any]], titles: Mapping[str, str] = TITLES) -> list[Point]:
    """This project's files, the series of each format from `titles`.

    `ValueError` if they were not all measured on the same text and checkpoint.
    """
    measured = {(record["text"]["sha256"], record["reference"]["sha256"]) for record in records}
    if len(measured) > 1:
        raise ValueError(f"the records are of {len(measured)} texts or checkpoints: keep one file of records for each")
    return [Point(titles[each["format"]], each["recipe"], each["MB"], each["KL"]) for each in records]


def draw(points: Sequence[Point], out: Path) -> None:
    """One scatter plot, divergence on a logarithmic axis, written as SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [point for point in points if point.size <= LARGEST]
    with plt.rc_context(
        {"svg.hashsalt": "smolship", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    ):
        figure, axes = plt.subplots(figsize=(8.5, 5.6), layout="constrained")
        for series, (colour, marker) in STYLES.items():
            of = [point for point in shown if point.series == series]
            own = series in OWN
            x, y = [point.size for point in of], [point.divergence for point in of]
            if of:
                axes.scatter(x, y, s=50 if own else 24, c=colour, marker=marker, label=series, zorder=3 if own else 2)
        for point in labelled(shown):
            own = point.series in OWN
            axes.annotate(
                point.name,
                (point.size, point.divergence),
                (-7, -3) if own else (5, 3),
                textcoords="offset points",
                horizontalalignment="right" if own else "left",
                color=STYLES[point.series][0],
                fontsize=8.5 if own else 6.5,
            )
        axes.margins(x=0.16)
        axes.set_yscale("log")
        axes.set(xlabel="model file, MB (10⁶ bytes)", ylabel="mean KL divergence from fp32, nats")
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend(fontsize=8, frameon=False)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def labelled(points: Sequence[Point]) -> list[Point]:
    """The points that carry their name: of those of one name that all but coincide, the first."""
    found: list[Point] = []
    for point in points:
        near = (abs(each.size - point.size) < 3 and 0.8 < each.divergence / point.divergence < 1.25 for each in found)
        same = (each.name == point.name for each in found)
        if not any(here and alike for here, alike in zip(near, same, strict=True)):
            found.append(point)
    return found


def main() -> None:
    """Parse, read, draw."""
    parser = argparse.ArgumentParser(description="divergence against size")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--given-text", type=Path, default=GIVEN_TEXT)
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--out", type=Path, default=IMAGE)
    options = parser.parse_args()
    records, given = (json.loads(path.read_text(encoding="utf-8")) for path in (options.records, options.given_text))
    draw([*peers(options.peers), *ours(records), *ours(given, TITLES_GIVEN_TEXT)], options.out)
    print(f"{options.out}: {len(records) + len(given)} files of this project")


if __name__ == "__main__":
    main()
