"""The ratios of what `onnx_peers` measured: ours beside each peer, and the bars they are held against.

What is compared is the ratio within a round, its median over the rounds and the 95 % bootstrap interval of that median.
A bar holds if the median does against every variant of the rivals, so against the best of them.
"""

from dataclasses import dataclass

import numpy as np
from onnx_makers import OURS

RIVALS: dict[str, tuple[str, ...]] = {
    "q4": ("genai-int4", "genai-int4-fused"),
    "q8": ("genai-int8", "genai-int8-fused"),
}
"""whom a bar is held against: the same bits in the matrices and, but for int8, which the builder cannot tie, in the
embedding"""
BESIDE: dict[str, tuple[str, ...]] = {
    "q4": ("optimum-4bit",),
    "q4-e8": ("genai-int4", "genai-int4-fused", "optimum-4bit"),
}
"""with whom a file is compared too, without a bar: their embedding has other bits"""
BARS: dict[str, dict[str, float]] = {
    "q4": {"decode": 1.15, "prefill": 1.1, "peak": 0.85},
    "q8": {"decode": 1.3, "prefill": 1.1, "peak": 0.85},
}


@dataclass(frozen=True)
class Runs:
    """What one candidate did, an entry a round: tokens per second, MB, seconds."""

    name: str
    file: str
    chunk: int | None
    decode: list[float]
    prefill: list[float]
    peak: list[float]
    imports: list[float]
    """resident before the load"""
    loaded: list[float]
    """the peak until the end of the load; `peak` is that of the whole process"""
    load: list[float]


@dataclass(frozen=True)
class Ratio:
    """Ours / theirs in one measure."""

    ours: str
    peer: str
    measure: str
    median: float
    low: float
    high: float
    bar: float | None

    def sure(self) -> bool | None:
        """Whether the whole interval lies on one side of the bar."""
        return None if self.bar is None else not self.low < self.bar < self.high

    def holds(self) -> bool | None:
        """Whether the median reaches the bar; memory is to be below its own."""
        if self.bar is None:
            return None
        return self.median <= self.bar if self.measure == "peak" else self.median >= self.bar


def ratio_of(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The median of the rounds' ratios ours / theirs, and the 95 % bootstrap interval of that median."""
    ratios = np.array(ours) / np.array(theirs)
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def ratios_of(runs: list[Runs]) -> list[Ratio]:
    """Each of ours beside every variant of its rivals, and of those it is compared with."""
    found = []
    for recipe in OURS:
        ours = next((run for run in runs if run.file == recipe), None)
        if ours is None:
            continue
        rivals, bars = RIVALS.get(recipe, ()), BARS.get(recipe, {})
        for peer in runs:
            if peer.file in (*rivals, *BESIDE.get(recipe, ())):
                for measure in ("decode", "prefill", "peak"):
                    figures = ratio_of(getattr(ours, measure), getattr(peer, measure))
                    bar = bars.get(measure) if peer.file in rivals else None
                    found.append(Ratio(ours.name, peer.name, measure, *figures, bar))
    return found
