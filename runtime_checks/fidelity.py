"""Fidelity: next-token distributions of a file held against the reference's, in pure numpy, a few rows at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from smolship.runtime_checks.measurements import Fidelity

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
ROWS = 64
"""rows of one block: 13 MB of logits, so that the temporaries stay in the tens of megabytes"""


def log_softmax(logits: Float32) -> Float32:
    """Log-probabilities of each row: float32 [n, vocab] in, the same out; sums are in float64."""
    shifted: Float32 = logits - logits.max(axis=-1, keepdims=True)
    total: Float64 = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    shifted -= np.log(total).astype(np.float32)
    return shifted


def kl_divergence(reference: Float32, tested: Float32) -> Float64:
    """KL(reference, tested) in nats of each row of log-probabilities float32 [n, vocab]; float64 [n], never below 0."""
    terms: Float32 = np.exp(reference)
    terms *= reference - tested
    total: Float64 = terms.sum(axis=-1, dtype=np.float64)
    return np.maximum(total, 0.0)


class Accumulator:
    """Takes window after window of log-probabilities and logits; gives the figures over all of them."""

    def __init__(self) -> None:
        self._kl: list[Float64] = []
        self._agree = 0
        self._tested = 0.0  # negative log-likelihood of the text, in nats
        self._reference = 0.0
        self._targets = 0
        self._windows = 0

    def add(self, tokens: list[int], reference: Float32, logits: Float32) -> None:
        """One window: its tokens, the reference's log-probabilities and the file's logits, both float32 [n, vocab].

        Every row counts for divergence and agreement; all but the last, whose next token is unknown, for perplexity.
        """
        if reference.shape != logits.shape or len(tokens) != len(logits):
            raise ValueError(
                f"{len(tokens)} tokens, reference {reference.shape} and logits {logits.shape} do not match"
            )
        following = np.asarray(tokens[1:])
        for rows in _blocks(len(tokens)):
            expected, tested = np.asarray(reference[rows]), log_softmax(np.asarray(logits[rows]))
            self._kl.append(kl_divergence(expected, tested))
            self._agree += int((expected.argmax(axis=-1) == tested.argmax(axis=-1)).sum())
            ids = following[rows]
            at = np.arange(len(ids))
            self._reference -= float(expected[at, ids].sum(dtype=np.float64))
            self._tested -= float(tested[at, ids].sum(dtype=np.float64))
        self._targets += len(following)
        self._windows += 1

    def result(self) -> Fidelity:
        """The figures over every window added; at least one."""
        kl = np.concatenate(self._kl)
        return Fidelity(
            positions=len(kl),
            windows=self._windows,
            kl_mean=float(kl.mean()),
            kl_p99=float(np.quantile(kl, 0.99)),
            kl_max=float(kl.max()),
            top1=self._agree / len(kl),
            perplexity=float(np.exp(self._tested / self._targets)),
            reference_perplexity=float(np.exp(self._reference / self._targets)),
        )


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, ROWS):
        yield slice(start, min(start + ROWS, rows))
