"""Next-token distributions in few numbers: the log-probabilities of chosen tokens, and of all the others as one."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import Backend, Logits
from .records import Records

DIGITS = 6


def measure(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """Run a `likelihoods` step: `windows` of tokens, and for every position of each the `ids` that are asked about.

    `way`, one of `WAYS`, is how the runtime gets to them: the same numbers but for roundings, which quantised
    activations make larger. A record a window: the most likely id of each position, log-probabilities (nats) in the
    order of the ids, and the logarithm of what is left for all other ids, `null` if that is nothing.
    """
    rows_of = WAYS[step.get("way", "window")]
    for index, (tokens, ids) in enumerate(zip(step["windows"], step["ids"], strict=True)):
        top, found, tails = list[int](), list[list[float]](), list[float | None]()
        start = perf_counter()
        for row in rows_of(backend, tokens):
            each, tail = _likelihoods(row, np.asarray(ids[len(top)], np.int64))
            top.append(int(row.argmax()))
            found.append([round(value, DIGITS) for value in each.tolist()])
            tails.append(tail)
        if len(top) != len(tokens):
            raise RuntimeError(f"the runtime gave {len(top)} rows of logits for {len(tokens)} tokens")
        seconds = perf_counter() - start
        records.emit("likelihoods", window=index, top1=top, log_probabilities=found, tail=tails, seconds=seconds)


def _by_window(backend: Backend, tokens: list[int]) -> Iterator[Logits]:
    for chunk in backend.window(tokens):
        yield from chunk


def _by_decode(backend: Backend, tokens: list[int]) -> Iterator[Logits]:
    yield backend.prefill(tokens[:1])
    for token in tokens[1:]:
        yield backend.decode(token)


def _by_prefill(backend: Backend, tokens: list[int]) -> Iterator[Logits]:
    for end in range(1, len(tokens) + 1):
        yield backend.prefill(tokens[:end])


WAYS: dict[str, Callable[[Backend, list[int]], Iterator[Logits]]] = {
    "window": _by_window,
    "decode": _by_decode,
    "prefill": _by_prefill,
}
"""all positions at once as the backend has it, one token after the other, or each position's prompt from scratch"""


def _likelihoods(row: Logits, ids: NDArray[np.int64]) -> tuple[NDArray[np.float64], float | None]:
    """Log-probabilities of `ids` by logits float32 [vocab], in float64; the logarithm of the others' sum."""
    if not np.isfinite(row).all():
        raise FloatingPointError("the runtime gave logits that are not finite")
    logits = row.astype(np.float64)
    logits -= logits.max()
    weights = np.exp(logits)
    total = np.log(weights.sum())
    weights[ids] = 0.0
    rest = weights.sum()
    tail = round(float(np.log(rest) - total), DIGITS) if rest > 0 else None
    return logits[ids] - total, tail
