"""The report's charts, drawn by Vega-Lite (Altair, vl-convert) as SVG without a script, in the page's colours."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import altair as alt
import vl_convert

from smolship.runtime_checks.report.coverage import LayerError

SPILL = 28
"""room for names that a page's font makes wider than the one that the drawing was laid out with"""
WIDTH, HEIGHT = 330, 230
BAR = 24
"""height of one bar's band"""
LETTER = 7.2
"""width of a letter of the names beside bars, in the widest of the page's fonts"""
FORMATS = ("gguf", "onnx", "executorch")
SHAPES = ("circle", "square", "triangle-up")
MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
_DASHES = ([1, 0], [1, 0], [4, 2], [4, 2], [1, 0], [2, 2], [6, 2])


@dataclass(frozen=True)
class Chart:
    """One chart with its words: who cannot see it has the same figures in the table."""

    title: str
    svg: str
    description: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Point:
    """One artefact's size (MB) and divergence (nats)."""

    size: float
    divergence: float
    format: str
    label: str


@dataclass(frozen=True)
class Bar:
    """One artefact's figure beside the limit that a target sets it, in the unit of the axis."""

    label: str
    value: float
    limit: float
    kept: bool


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that none other is at most as large as and at most as far from the checkpoint, from small to large."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.size, one.divergence)):
        if not front or point.divergence < front[-1].divergence:
            front.append(point)
    return front


def size_chart(points: Sequence[Point]) -> Chart:
    """Size against divergence, on a logarithmic axis, with the Pareto front; at least one point."""
    front = pareto_front(points)
    x = alt.X("size:Q", title="model file, MB", scale=alt.Scale(zero=False, padding=24))
    y = alt.Y(
        "divergence:Q",
        title="mean KL divergence, nats",
        axis=alt.Axis(values=_ticks([one.divergence for one in points])),
        scale=alt.Scale(type="log", padding=16),
    )
    rows = [{"size": one.size, "divergence": one.divergence, "format": one.format} for one in points]
    marks = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(size=90, filled=True, opacity=1)
        .encode(x=x, y=y, color=_colour("format", FORMATS, "format"), shape=_shape())
    )
    steps = [{"size": one.size, "divergence": one.divergence} for one in front]
    line = (
        alt.Chart(alt.Data(values=steps))
        .mark_line(interpolate="step-after", strokeDash=[3, 3], color="var(--soft)")
        .encode(x=x, y=y)
    )
    names = [{"size": one.size, "divergence": one.divergence, "label": one.label} for one in _labelled(points)]
    labels = (
        alt.Chart(alt.Data(values=names))
        .mark_text(align="center", dy=-12, color="var(--ink)")
        .encode(x=x, y=y, text="label:N")
    )
    on_front = ", ".join(f"{one.label} {one.format}" for one in front)
    return Chart(
        "Size against divergence",
        _svg(line + marks + labels, "Size against divergence"),
        f"Smaller and lower is better. On the Pareto front (dashed), from small to large: {on_front}.",
        ("artefact", "size, MB", "mean KL, nats", "Pareto front"),
        tuple(
            (f"{one.label} {one.format}", f"{one.size:,.1f}", f"{one.divergence:.3g}", "yes" if one in front else "no")
            for one in points
        ),
    )


def budget_chart(title: str, axis: str, bars: Sequence[Bar], *, better: str) -> Chart:
    """Bars of one metric, each with its limit as a mark across it; at least one bar."""
    rows = [
        {"label": one.label, "value": one.value, "limit": one.limit, "verdict": "kept" if one.kept else "broken"}
        for one in bars
    ]
    base = alt.Chart(alt.Data(values=rows))
    y = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=0, ticks=False, domain=False))
    drawn = base.mark_bar(height=11).encode(
        x=alt.X("value:Q", title=axis, axis=alt.Axis(tickCount=4)),
        y=y,
        color=_colour("verdict", ("kept", "broken"), "budget"),
    )
    limits = base.mark_tick(thickness=3, height=20, color="var(--ink)").encode(x="limit:Q", y=y)
    worse = "above" if better == "lower" else "below"
    broken = [one.label for one in bars if not one.kept]
    told = f"{', '.join(broken)} {'is' if len(broken) == 1 else 'are'} {worse} the limit." if broken else ""
    return Chart(
        title,
        _svg(drawn + limits, title, width=_beside_names(bars), height=BAR * len(bars), left=SPILL),
        f"The upright mark is the limit; {better} is better. {told or 'Every limit is kept.'}",
        ("artefact", "measured", "limit", "budget"),
        tuple((one.label, f"{one.value:,.1f}", f"{one.limit:,.1f}", "kept" if one.kept else "broken") for one in bars),
    )


def layer_chart(title: str, errors: Sequence[LayerError]) -> Chart:
    """Relative error of each matrix over the layers; at least one."""
    rows = [{"layer": one.layer, "matrix": one.matrix, "error": one.error} for one in errors]
    there = tuple(name for name in MATRICES if any(one.matrix == name for one in errors))
    dashes = [_DASHES[MATRICES.index(name)] for name in there]
    drawn = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=14, filled=True))
        .encode(
            x=alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("error:Q", title="relative error", scale=alt.Scale(zero=False)),
            color=_colour("matrix", there, "matrix"),
            strokeDash=alt.StrokeDash("matrix:N", scale=alt.Scale(domain=list(there), range=dashes), legend=None),
        )
    )
    worst = max(errors, key=lambda one: one.error)
    layers = sorted({one.layer for one in errors})
    found = {(one.layer, one.matrix): f"{one.error:.4f}" for one in errors}
    return Chart(
        title,
        _svg(drawn, title),
        f"Largest: {worst.error:.4f}, {worst.matrix} of layer {worst.layer}.",
        ("layer", *there),
        tuple((str(layer), *(found.get((layer, name), "–") for name in there)) for layer in layers),
    )


def _ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 of every power of ten from below the smallest to above the largest value."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]


def _beside_names(bars: Sequence[Bar]) -> int:
    """The width that is left for bars, so that the drawing with its names is about as wide as the others."""
    longest = max(len(one.label) for one in bars)
    return max(WIDTH // 3, WIDTH + 60 - int(LETTER * longest))


def _labelled(points: Sequence[Point]) -> list[Point]:
    """Of points that have one label the one that lies highest: they lie close to each other."""
    best: dict[str, Point] = {}
    for one in points:
        if one.label not in best or one.divergence > best[one.label].divergence:
            best[one.label] = one
    return list(best.values())


def _colour(field: str, names: Sequence[str], title: str) -> alt.Color:
    """Colours that the page's style sheet defines, in light and dark."""
    scale = alt.Scale(domain=list(names), range=[f"var(--{name})" for name in names])
    return alt.Color(f"{field}:N", scale=scale, title=title)


def _shape() -> alt.Shape:
    return alt.Shape("format:N", scale=alt.Scale(domain=list(FORMATS), range=list(SHAPES)), title="format")


def _svg(
    chart: alt.Chart | alt.LayerChart, title: str, *, width: int = WIDTH, height: int = HEIGHT, left: int = 4
) -> str:
    """An SVG in the page's colours and width; its figures stand in a table, so to a screen reader it is one picture."""
    styled = (
        chart.properties(
            width=width,
            height=height,
            background="transparent",
            padding={"left": left, "right": 8, "top": 4, "bottom": 8},
        )
        .configure_axis(
            labelColor="var(--soft)",
            titleColor="var(--soft)",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
        )
        .configure_legend(
            orient="bottom",
            labelColor="var(--ink)",
            titleColor="var(--soft)",
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            symbolOpacity=1,
        )
        .configure_text(fontSize=12)
        .configure_view(stroke="var(--line)")
    )
    drawn: str = vl_convert.vegalite_to_svg(styled.to_dict(), vl_version="6.4")
    frame = re.match(r'<svg [^>]*?width="([\d.]+)" height="[\d.]+" (viewBox="[^"]+")>', drawn)
    if frame is None or " id=" in drawn:
        raise ValueError("vl-convert's SVG begins otherwise than the charts expect")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" {frame[2]} '
        f'style="width:100%;max-width:{float(frame[1]):.0f}px;height:auto">'
    )
    return opening + drawn[frame.end() :]
