"""The ratios of what was measured in turns: ours beside each peer, and the bars they are held against.

What is compared is the ratio within a round, its median over the rounds and the 95 % bootstrap interval of that median.
A bar holds if the median does against every variant of the rivals, so against the best of them.
"""

from dataclasses import dataclass, field

import numpy as np
from peers_rounds import Runs

LESS_IS_BETTER = ("peak", "own")
COMPARED = ("decode", "deep", "prefill", "peak", "own")


@dataclass(frozen=True)
class Rivalry:
    """With whom one of our files is compared."""

    ours: str
    """the file's name"""
    rivals: tuple[str, ...] = ()
    """files with the same bits, whom the bars are held against"""
    beside: tuple[str, ...] = ()
    """files with other bits somewhere: compared without a bar"""
    bars: dict[str, float] = field(default_factory=dict)
    """by the measure: at least so many times the rival's, memory at most"""


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
        return self.median <= self.bar if self.measure in LESS_IS_BETTER else self.median >= self.bar


def ratio_of(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The median of the rounds' ratios ours / theirs, and the 95 % bootstrap interval of that median."""
    ratios = np.array(ours) / np.array(theirs)
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def ratios_of(runs: list[Runs], rivalries: tuple[Rivalry, ...]) -> list[Ratio]:
    """Each of ours beside every variant of its rivals and of those it is compared with."""
    found = []
    for rivalry in rivalries:
        ours = next((run for run in runs if run.file == rivalry.ours), None)
        if ours is None:
            continue
        for peer in runs:
            if peer.file in (*rivalry.rivals, *rivalry.beside):
                for measure in COMPARED:
                    if measure not in ours.measures:
                        continue
                    figures = ratio_of(ours.measures[measure], peer.measures[measure])
                    bar = rivalry.bars.get(measure) if peer.file in rivalry.rivals else None
                    found.append(Ratio(ours.name, peer.name, measure, *figures, bar))
    return found
