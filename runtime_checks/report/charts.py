"""Where the points, ticks and labels of a small scatter plot stand; the report's template draws them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 48, 16, 44
NEAR = 40
"""how far apart points carry a label each"""


@dataclass(frozen=True)
class Point:
    """One figure of one artefact, in the units of the axes."""

    x: float
    y: float
    kind: str
    label: str


@dataclass(frozen=True)
class Mark:
    """A point in the plot's own coordinates."""

    x: float
    y: float
    kind: str
    label: str
    told: str
    """the figure in words, for those who hear the page"""
    labelled: bool


@dataclass(frozen=True)
class Plot:
    """A scatter plot laid out: ticks are (position, text)."""

    marks: tuple[Mark, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    kinds: tuple[str, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def scatter(points: Sequence[Point]) -> Plot:
    """Lay out at least one point between round numbers; of points of one label that lie close, one carries it."""
    x_ticks, y_ticks = _ticks([point.x for point in points]), _ticks([point.y for point in points])

    def across(x: float) -> float:
        return LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM)

    marks: list[Mark] = []
    for point in sorted(
        points, key=lambda each: -each.x
    ):  # the rightmost of a cluster first: labels stand to the right
        x, y = round(across(point.x), 1), round(down(point.y), 1)
        near = [mark for mark in marks if abs(mark.x - x) < NEAR and abs(mark.y - y) < NEAR / 2]
        told = f"{point.label} {point.kind}: {point.x:,.1f} MB, {point.y:,.3g}"
        labelled = not any(mark.label == point.label for mark in near)
        marks.append(Mark(x, y, point.kind, point.label, told, labelled))
    return Plot(
        tuple(marks),
        tuple((round(across(x), 1), f"{x:.6g}") for x in x_ticks),
        tuple((round(down(y), 1), f"{y:.6g}") for y in y_ticks),
        tuple(dict.fromkeys(point.kind for point in points)),
    )


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to seven round numbers that reach below the smallest and above the largest value; zero if it is near."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    low, high = (0.0 if 0 <= low < span / 4 else low - span / 20), high + span / 20
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
