"""Distributions by their top tokens: a lower bound of the divergence, the same whoever computes it, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import RuntimeFailure
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.collect import Collector
from smolship.runtime_checks.fidelity import log_softmax
from smolship.runtime_checks.job import likelihoods_step, logits_step, questions_for
from smolship.runtime_checks.likelihoods import K, Likelihoods, compare, most_likely, reference_likelihoods
from smolship.runtime_checks.measurements import TextUsed
from smolship.runtime_checks.probe.likelihoods import DIGITS
from smolship.runtime_checks.probe.likelihoods import _likelihoods as by_the_probe
from smolship.runtime_checks.take_steps import take_steps
from smolship.runtime_checks.windows import ReferenceWindows, Windows
from smolship.targets import Local

Rows = NDArray[np.float32]
VOCABULARY = 12
ROWS = arrays(np.float32, (3, VOCABULARY), elements=st.floats(-40, 40, width=32))

NEAR = 0.5
"""nats within which two tokens are a near tie"""


def windows_of(logits: Rows) -> ReferenceWindows:
    """One window of which this is the reference; logits float32 [n, vocab]."""
    text = TextUsed(name="none", sha256="0" * 64, windows=1, length=len(logits))
    return ReferenceWindows(Windows((tuple(range(len(logits))),), text), (log_softmax(logits),), "these")


def divergence(p: Rows, q: Rows) -> float:
    """Mean KL divergence over the whole vocabulary, in float64."""
    a, b = log_softmax(p).astype(np.float64), log_softmax(q).astype(np.float64)
    return float((np.exp(a) * (a - b)).sum(axis=-1).mean())


def coarse(p: Rows, q: Rows, k: int) -> float:
    """`kl_topk` of q against p."""
    reference = windows_of(p)
    ids = most_likely(reference, k)
    told = compare(reference_likelihoods(reference, ids), reference_likelihoods(windows_of(q), ids), NEAR)
    assert (told.positions, told.k) == (len(p), k)
    return told.kl_mean


@given(ROWS, ROWS, st.integers(1, VOCABULARY - 1))
@settings(deadline=None)
def test_the_divergence_by_top_tokens_is_a_lower_bound_that_more_tokens_tighten(p: Rows, q: Rows, k: int) -> None:
    few, more, whole = coarse(p, q, k), coarse(p, q, k + 1), divergence(p, q)
    assert 0 <= few <= whole + 1e-5
    assert few <= more + 1e-5


@given(ROWS, ROWS)
@settings(deadline=None)
def test_with_every_token_it_is_the_divergence(p: Rows, q: Rows) -> None:
    assert coarse(p, q, VOCABULARY) == pytest.approx(divergence(p, q), abs=1e-5)


@given(ROWS)
@settings(deadline=None)
def test_nothing_diverges_from_itself(p: Rows) -> None:
    assert coarse(p, p, 4) == 0


@given(ROWS, st.integers(1, VOCABULARY))
@settings(deadline=None)
def test_the_probe_says_of_logits_what_the_reference_says(rows: Rows, k: int) -> None:
    reference = windows_of(rows)
    (ids,) = most_likely(reference, k)
    (expected,) = reference_likelihoods(reference, [ids])
    for row, asked, chosen, rest in zip(rows, ids, expected.chosen, expected.tail, strict=True):
        found, tail = by_the_probe(row, asked)
        assert found == pytest.approx(chosen, abs=1e-4)
        assert (0.0 if tail is None else np.exp(tail)) == pytest.approx(np.exp(rest), abs=1e-5)


def test_another_token_agrees_only_where_it_is_nearly_as_likely() -> None:
    """Four positions: the same token, a near tie, one that is not near, and one that nobody asked about."""
    p = np.log(np.asarray([[5, 1, 1, 1, 0.1], [5, 4, 1, 1, 0.1], [5, 2, 1, 1, 0.1], [5, 4, 1, 1, 0.1]], np.float32))
    q = np.zeros_like(p)
    q[range(4), [0, 1, 1, 4]] = 9
    ids = [np.asarray([[1, 0, 2]] * 4)]
    found = compare(reference_likelihoods(windows_of(p), ids), reference_likelihoods(windows_of(q), ids), NEAR)
    assert (found.top1, found.top1_or_near) == (0.25, 0.5)


def test_an_impossible_rest_is_nothing_and_finite_again_here() -> None:
    row = np.asarray([[1000.0, 0.0, -1000.0]], np.float32)
    found, tail = by_the_probe(row[0], np.asarray([0]))
    assert (found.tolist(), tail) == ([0.0], None)
    (told,) = reference_likelihoods(windows_of(row), [np.asarray([[0]])])
    assert np.isfinite(told.tail).all()


def test_logits_that_are_not_finite_are_an_error_of_the_probe() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        by_the_probe(np.asarray([0.0, np.nan], np.float32), np.asarray([0]))


def test_of_the_tiny_artefact_it_is_less_than_all_logits_say_and_agrees_on_the_most_likely_token(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    ids = most_likely(tiny_reference)
    steps = [likelihoods_step(tiny_reference.windows, ids), logits_step(tiny_reference.windows)]
    told = take_steps(tiny_artefact, tiny_checkpoint, tiny_reference, steps, Settings(1), lambda *_: None, ids)
    by_all, by_top = told.fields["fidelity"], compare(reference_likelihoods(tiny_reference, ids), told.told, NEAR)
    assert (by_top.positions, by_top.k) == (by_all.positions, K)
    assert by_top.top1 == by_all.top1
    assert 0 < by_top.kl_mean < by_all.kl_mean + 10**-DIGITS
    assert by_top.kl_mean > 0.5 * by_all.kl_mean  # 64 of 320 tokens: most of it is there


@pytest.fixture(scope="module")
def asked_of(tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows) -> Collector:
    """Who takes the records of a run over the tiny reference's windows."""
    asked = questions_for(tiny_checkpoint.tokenizer)
    where, ids = Local(Path()), most_likely(tiny_reference)
    return Collector(asked, tiny_checkpoint.tokenizer, tiny_reference, where, None, lambda *_: None, ids)


def record(told: Likelihoods) -> dict[str, Any]:
    """What the probe prints of the first window."""
    tail: list[float | None] = told.tail.tolist()
    chosen = told.chosen.tolist()
    return {"record": "likelihoods", "window": 0, "top1": told.top1.tolist(), "log_probabilities": chosen, "tail": tail}


@pytest.mark.parametrize(
    "change",
    [
        {"window": 9},
        {"window": -1},
        {"window": "0"},
        {"window": [0]},
        {"top1": [1, 2, 3]},
        {"top1": ["a"] * 200},
        {"top1": [10**400] * 200},
        {"tail": None},
        {"tail": [float("nan")] * 200},
        {"tail": [[0.0]] * 200},
        {"log_probabilities": []},
        {"log_probabilities": [[0.0] * K] * 199 + [[0.0]]},
        {"log_probabilities": [[float("inf")] * K] * 200},
        {"log_probabilities": [[None] * K] * 200},
        {"log_probabilities": {"a": "b"}},
        {"log_probabilities": [[10**400] * K] * 200},
    ],
    ids=lambda change: f"{next(iter(change))} {str(next(iter(change.values())))[:20]}",
)
def test_a_record_that_is_not_as_agreed_is_refused(
    asked_of: Collector, tiny_reference: ReferenceWindows, change: dict[str, Any]
) -> None:
    good = record(reference_likelihoods(tiny_reference, most_likely(tiny_reference))[0])
    with pytest.raises(RuntimeFailure, match="record 'likelihoods' is not as agreed") as refused:
        asked_of(good | change)
    assert len(str(refused.value)) < 600
    with pytest.raises(RuntimeFailure, match="is not as agreed"):
        asked_of({key: value for key, value in good.items() if key != next(iter(change))})
    assert asked_of.told == []


def test_a_device_that_never_ends_to_tell_of_windows_is_stopped(
    tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    asked, ids = questions_for(tiny_checkpoint.tokenizer), most_likely(tiny_reference)
    where = Local(Path())
    collector = Collector(asked, tiny_checkpoint.tokenizer, tiny_reference, where, None, lambda *_: None, ids)
    told = reference_likelihoods(tiny_reference, ids)
    for number, each in enumerate(told):
        collector(record(each) | {"window": number})
    assert len(collector.told) == len(told)
    for number in (0, len(told) - 1):
        with pytest.raises(RuntimeFailure, match="is not as agreed"):
            collector(record(told[number]) | {"window": number})
