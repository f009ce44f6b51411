"""Fidelity: hand-computed values and properties of the divergence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from smolship.runtime_checks.fidelity import ROWS, Accumulator, kl_divergence, log_softmax


def _rows(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


def test_log_softmax_of_known_odds() -> None:
    logits = _rows([math.log(1), math.log(2), math.log(5)])
    assert np.exp(log_softmax(logits))[0] == pytest.approx([1 / 8, 2 / 8, 5 / 8], rel=1e-6)


def test_log_softmax_does_not_overflow() -> None:
    assert log_softmax(_rows([1e4, 0.0])).tolist() == [[0.0, -1e4]]


def test_divergence_by_hand() -> None:
    p, q = _rows([math.log(0.5), math.log(0.5)]), _rows([math.log(0.9), math.log(0.1)])
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert kl_divergence(p, q)[0] == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 8))
def test_divergence_is_zero_from_itself_and_never_negative(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    a, b = (log_softmax((random.standard_normal((3, 50)) * scale).astype(np.float32)) for _ in range(2))
    assert kl_divergence(a, a) == pytest.approx(0)
    assert (kl_divergence(a, b) >= 0).all()


@given(st.floats(-100, 100))
def test_a_constant_added_to_the_logits_changes_nothing(constant: float) -> None:
    logits = np.linspace(-3, 3, 40, dtype=np.float32).reshape(2, 20)
    assert log_softmax(logits + np.float32(constant)) == pytest.approx(log_softmax(logits), abs=1e-4)


def test_figures_over_two_windows_by_hand() -> None:
    """Two tokens a window, two words: p = (1/2, 1/2) throughout; the file says (1/2, 1/2) and (1/4, 3/4)."""
    even, odd = [math.log(0.5)] * 2, [math.log(0.25), math.log(0.75)]
    accumulator = Accumulator()
    accumulator.add([0, 1], _rows(even, even), _rows(even, odd))
    accumulator.add([1, 0], _rows(even, even), _rows(odd, even))
    found = accumulator.result()
    kl = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert (found.positions, found.windows) == (4, 2)
    assert found.kl_mean == pytest.approx(kl / 2, rel=1e-5)
    assert found.kl_max == pytest.approx(kl, rel=1e-5)
    assert found.top1 == 0.5  # of even odds the first word counts as the most likely
    assert found.reference_perplexity == pytest.approx(2)
    # the targets are word 1 after an even row and word 0 after an odd one: probabilities 1/2 and 1/4
    assert found.perplexity == pytest.approx(math.exp((math.log(2) + math.log(4)) / 2))
    assert found.perplexity_ratio == pytest.approx(math.sqrt(2))


def test_blocks_do_not_change_the_figures() -> None:
    """A window longer than a block gives what float64 gives at once."""
    random = np.random.default_rng(0)
    n, vocabulary = 2 * ROWS + 5, 300
    tokens = random.integers(0, vocabulary, n).tolist()
    p, q = (random.standard_normal((n, vocabulary)).astype(np.float32) * 4 for _ in range(2))
    accumulator = Accumulator()
    accumulator.add(tokens, log_softmax(p), q)
    found = accumulator.result()
    lp, lq = (x.astype(np.float64) - np.log(np.exp(x.astype(np.float64)).sum(-1, keepdims=True)) for x in (p, q))
    kl = (np.exp(lp) * (lp - lq)).sum(-1)
    at = np.arange(n - 1)
    assert found.kl_mean == pytest.approx(kl.mean(), rel=1e-5)
    assert found.kl_p99 == pytest.approx(np.quantile(kl, 0.99), rel=1e-5)
    assert found.top1 == (lp.argmax(-1) == lq.argmax(-1)).mean()
    assert found.perplexity == pytest.approx(math.exp(-lq[at, tokens[1:]].mean()), rel=1e-5)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Accumulator().add([1, 2], _rows([0.0, 0.0]), _rows([0.0, 0.0], [0.0, 0.0]))
