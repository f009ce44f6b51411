"""Distributions compared by the most likely tokens of one of them, all others as one: what a device can send back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.runtime_checks.measurements import TopK
from smolship.runtime_checks.windows import ReferenceWindows

K = 64
"""most likely tokens of the reference that are asked about at each position"""
NOTHING = -745.0
"""the logarithm of the smallest double: what stands for a probability of zero"""


@dataclass(frozen=True)
class Likelihoods:
    """Next-token distributions of n positions: of k chosen tokens each, and of all others together."""

    ids: NDArray[np.int64]
    """[n, k], the chosen tokens"""
    top1: NDArray[np.int64]
    """[n], the most likely token of all"""
    chosen: NDArray[np.float64]
    """[n, k], logarithms of probabilities"""
    tail: NDArray[np.float64]
    """[n], of what is left"""

    def beginning(self, length: int) -> "Likelihoods":
        """Those of the first positions."""
        return Likelihoods(self.ids[:length], self.top1[:length], self.chosen[:length], self.tail[:length])


def most_likely(reference: ReferenceWindows, k: int = K) -> list[NDArray[np.int64]]:
    """The k most likely tokens by the reference at every position of every window: int64 [n, k] each."""
    return [np.argpartition(-each, k - 1, axis=-1)[:, :k].astype(np.int64) for each in reference.log_probabilities]


def reference_likelihoods(reference: ReferenceWindows, ids: Sequence[NDArray[np.int64]]) -> list[Likelihoods]:
    """What the reference itself says of those tokens, window by window."""
    return [_of(rows, each) for rows, each in zip(reference.log_probabilities, ids, strict=True)]


def likelihoods_from(record: dict[str, Any], ids: NDArray[np.int64]) -> Likelihoods:
    """What a record of the probe's step `likelihoods` says of the tokens int64 [n, k] that it was asked about.

    `ValueError` if it is not of that shape or not finite.
    """
    positions, k = ids.shape
    tail = [NOTHING if each is None else each for each in record["tail"]]
    found = Likelihoods(
        ids,
        np.asarray(record["top1"], np.int64),
        np.asarray(record["log_probabilities"], np.float64),
        np.asarray(tail, np.float64),
    )
    if found.top1.shape != (positions,) or found.chosen.shape != (positions, k) or found.tail.shape != (positions,):
        raise ValueError(f"{found.chosen.shape} log-probabilities where {(positions, k)} were asked for")
    if not (np.isfinite(found.chosen).all() and np.isfinite(found.tail).all()):
        raise ValueError("log-probabilities that are not finite")
    return found


def compare(expected: Sequence[Likelihoods], tested: Sequence[Likelihoods], near_tie: float) -> TopK:
    """`kl_topk`, the KL divergence of the coarse distributions, and top-1 agreement, over all positions.

    Tokens that `expected` finds likely within `near_tie` nats of each other are a near tie.

    Coarsening never raises a divergence (data-processing inequality: Cover and Thomas, Elements of Information Theory,
    2.8), so this is a lower bound of that over the whole vocabulary.
    """
    kl = np.concatenate([_kl(p, q) for p, q in zip(expected, tested, strict=True)])
    same = np.concatenate([p.top1 == q.top1 for p, q in zip(expected, tested, strict=True)])
    near = np.concatenate([_lead(p, q) <= near_tie for p, q in zip(expected, tested, strict=True)])
    return TopK(
        positions=len(kl),
        k=expected[0].chosen.shape[1],
        kl_mean=float(kl.mean()),
        kl_max=float(kl.max()),
        top1=float(same.mean()),
        top1_or_near=float((same | near).mean()),
    )


def _of(rows: NDArray[np.float32], ids: NDArray[np.int64]) -> Likelihoods:
    wide = rows.astype(np.float64)
    chosen = np.take_along_axis(wide, ids, axis=-1)
    others = np.exp(wide)
    np.put_along_axis(others, ids, 0.0, axis=-1)
    left = others.sum(axis=-1)
    tail = np.log(np.maximum(left, np.exp(NOTHING)))
    return Likelihoods(ids, rows.argmax(axis=-1).astype(np.int64), chosen, tail)


def _lead(p: Likelihoods, q: Likelihoods) -> NDArray[np.float64]:
    """[n] nats by which `p` prefers its most likely token to `q`'s; infinite if one was not asked about."""
    best, other = p.ids == p.top1[:, None], p.ids == q.top1[:, None]  # [n, k]
    lead = np.where(best, p.chosen, 0.0).sum(axis=-1) - np.where(other, p.chosen, 0.0).sum(axis=-1)
    lead[~(best.any(axis=-1) & other.any(axis=-1))] = np.inf
    return np.asarray(lead, np.float64)


def _kl(p: Likelihoods, q: Likelihoods) -> NDArray[np.float64]:
    """[n] nats, never below 0."""
    total: NDArray[np.float64] = (np.exp(p.chosen) * (p.chosen - q.chosen)).sum(axis=-1)
    total += np.exp(p.tail) * (p.tail - q.tail)
    return np.maximum(total, 0.0)
