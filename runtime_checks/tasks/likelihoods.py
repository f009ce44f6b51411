"""The log-likelihood of every choice of a row: what its sequences share is processed once where the runner can."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smolship.runtime_checks.fidelity import log_softmax
from smolship.runtime_checks.tasks.rows import Continuation

Logits = NDArray[np.float32]


class Runner(Protocol):
    """A model that goes on from the same tokens in several ways."""

    def after(self, shared: list[int], rests: list[list[int]]) -> Iterator[Logits]:
        """For each of `rests`, in order: float32 [len(rest), vocab], logits of its positions after `shared`."""
        ...


def log_likelihoods(runner: Runner, continuations: Sequence[Continuation]) -> tuple[float, ...]:
    """The summed log-probability of each continuation's tokens from its `start` on, in nats.

    `ValueError` if the runner's logits are not finite.
    """
    shared = shared_length(continuations)
    rests = [list(one.tokens[shared:-1]) for one in continuations]  # the last token predicts nothing that is asked
    found = []
    logits = runner.after(list(continuations[0].tokens[:shared]), rests)
    for one, rows in zip(continuations, logits, strict=True):
        first = one.start - 1 - shared  # the row that predicts the token at `start`
        asked = log_softmax(rows[first:])  # [n, vocab]
        targets = np.asarray(one.tokens[one.start :])
        total = float(asked[np.arange(len(targets)), targets].sum(dtype=np.float64))
        if not np.isfinite(total):
            raise ValueError("the runtime gave logits that are not finite")
        found.append(total)
    return tuple(found)


def shared_length(continuations: Sequence[Continuation]) -> int:
    """How many first tokens all have in common, at most those before the one that predicts a continuation's first."""
    longest = min(one.start for one in continuations) - 1
    columns = zip(*(one.tokens[:longest] for one in continuations), strict=True)
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), longest)
