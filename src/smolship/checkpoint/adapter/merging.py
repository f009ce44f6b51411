"""Merging as PEFT's `merge_and_unload` does, in float32, one tensor at a time.

LoRA: arXiv 2106.09685. DoRA: arXiv 2402.09353, equation 5, with the norm that PEFT takes of the sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.adapter.changes import Change, LowRank
from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.checkpoint.checkpoint import TensorSource
from smolship.checkpoint.values import require_finite

_ROWS = 4096
"""how many are multiplied at once, so that no second matrix of an embedding's size is held"""


@dataclass(frozen=True)
class MergedTensors:
    """A base's tensors with an adapter's changes, each made as it is read."""

    base: TensorSource
    adapter: TensorSource
    """by stored names"""
    changes: Mapping[str, Change]
    base_tied: bool

    def read(self, name: str) -> NDArray[np.float32]:
        """One merged tensor; `InputError` names one that is missing or not finite."""
        change = self.changes.get(name, Change())
        origin = EMBEDDING if name == HEAD and self.base_tied else name
        weight = self.base.read(origin) if change.whole is None else self.adapter.read(change.whole)
        if change.rows is not None:
            weight[list(change.indices)] = self.adapter.read(change.rows)
        if change.low_rank is not None:
            add_low_rank(weight, self.adapter, change.low_rank)
        return weight if change == Change() else require_finite(name, weight)


def factors(adapter: TensorSource, pair: LowRank) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The two matrices [out, r] and [r, in] as a linear layer has them."""
    left, right = adapter.read(pair.left), adapter.read(pair.right)
    return (left.T, right.T) if pair.transposed else (left, right)


def add_low_rank(weight: NDArray[np.float32], adapter: TensorSource, pair: LowRank) -> None:
    """Change a weight [out, in] in place."""
    left, right = factors(adapter, pair)
    for begin in range(0, len(weight), _ROWS):
        rows = slice(begin, begin + _ROWS)
        weight[rows] += np.float32(pair.scaling) * (left[rows] @ right)
    if pair.magnitude is not None:
        along = 0 if pair.transposed else 1
        with np.errstate(divide="ignore", invalid="ignore"):  # a weight of zeros: not finite, and named as such
            factor = adapter.read(pair.magnitude) / np.linalg.norm(weight, axis=along)
        weight *= np.expand_dims(factor, along)
