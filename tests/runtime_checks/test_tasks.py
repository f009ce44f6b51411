"""Multiple choice: hand-computed scores, paired tests, and the same likelihoods with and without a shared prefix."""

import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.reference import Reference
from smolship.runtime_checks.probe.backend_gguf import Backend
from smolship.runtime_checks.tasks.likelihoods import log_likelihoods, shared_length
from smolship.runtime_checks.tasks.paired import difference, mcnemar
from smolship.runtime_checks.tasks.rows import Continuation, Row, continuations, read_rows
from smolship.runtime_checks.tasks.runners import FullPrecision, WholeSequences, open_runner
from smolship.runtime_checks.tasks.scores import mean, values

ROWS = (
    Row(id="a", query="Question: What floats?\nAnswer:", choices=("a cork", "a stone in the sea", "lead"), gold=0),
    Row(id="b", query="Question: What is two and two?\nAnswer:", choices=("four", " four "), gold=1),
)


def test_scores_by_hand() -> None:
    """Row a: the cork is likeliest, but the stone is a character; row b: the gold choice is 2 nats less likely."""
    found = values(ROWS, [(-6.0, -9.0, -8.0), (-3.0, -5.0)])
    assert found.choice.tolist() == [0, 0]
    assert found.right.tolist() == [1, 0]
    assert found.right_normalised.tolist() == [0, 0]  # -1, -0.5, -2 a character; -0.75, -5 / 6
    assert found.margin.tolist() == [2, -2]


def test_the_first_of_equals_is_taken() -> None:
    assert values(ROWS[1:], [(-3.0, -3.0)]).choice.tolist() == [0]


def test_standard_error_is_the_samples() -> None:
    found = mean(np.array([1.0, 0.0, 1.0, 1.0]))
    assert (found.value, found.rows) == (0.75, 4)
    assert found.error == pytest.approx(math.sqrt(0.75 * 0.25 / 3))


def test_mcnemar_by_hand() -> None:
    """Four rows differ, one of them in favour: 2 · (1 + 4) / 16."""
    a, b = np.array([1.0, 0, 0, 0, 1, 0]), np.array([0.0, 1, 1, 1, 1, 0])
    found = mcnemar(a, b)
    assert (found.gained, found.lost, found.p) == (1, 3, 0.625)
    assert mcnemar(a, a).p == 1
    assert mcnemar(np.zeros(3000), np.ones(3000)).p < 1e-300  # no overflow


def test_a_constant_difference_is_sure() -> None:
    found = difference(np.array([1.0, 5.0, 2.0]), np.array([0.5, 4.5, 1.5]))
    assert (found.value, found.error, found.low, found.high) == (0.5, 0, 0.5, 0.5)


def test_rows_are_read_as_many_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(row.model_dump_json() for row in ROWS).encode()))
    assert read_rows(path) == list(ROWS)
    assert read_rows(path, 1) == [ROWS[0]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "a", "query": "q", "choices": ["a", "b"], "gold": 2}', "line 2: .*gold is 2"),
        ("not JSON", "line 2"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{ROWS[0].model_dump_json()}\n{line}\n")
    with pytest.raises(InputError, match=says):
        read_rows(path)


def test_a_file_without_rows_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no rows"):
        read_rows(tmp_path / "empty.jsonl")


def test_choices_are_encoded_with_their_query(tiny_checkpoint: Checkpoint) -> None:
    tokenizer = tiny_checkpoint.tokenizer
    for row in ROWS:
        for one, choice in zip(continuations(tokenizer, row), row.choices, strict=True):
            assert tokenizer.decode(one.tokens) == f"{row.query} {choice}"
            assert tokenizer.decode(one.tokens[: one.start]) == row.query


def test_what_is_shared_ends_before_the_token_that_predicts_a_choice() -> None:
    assert shared_length([Continuation((1, 2, 3, 4, 5), 3), Continuation((1, 2, 3, 4, 6), 3)]) == 2
    assert shared_length([Continuation((1, 9, 3, 4), 3), Continuation((1, 2, 3, 4), 3)]) == 1
    assert shared_length([Continuation((1, 2), 1), Continuation((1, 3), 1)]) == 0


class Uniform:
    """Every token is as likely as another, but the one that counts its position."""

    def after(self, shared: list[int], rests: list[list[int]]) -> Iterator[NDArray[np.float32]]:
        for rest in rests:
            logits = np.zeros((len(rest), 8), np.float32)
            for i in range(len(rest)):
                logits[i, len(shared) + i + 1] = math.log(2)  # what stands next, twice as likely
            yield logits


def test_likelihoods_by_hand() -> None:
    """Token k at position k has 2 / 9, another 1 / 9."""
    found = log_likelihoods(Uniform(), [Continuation((0, 1, 2, 3), 2), Continuation((0, 1, 2, 7, 4), 3)])
    assert found == pytest.approx([2 * math.log(2 / 9), math.log(1 / 9) + math.log(2 / 9)])


def test_every_runner_says_the_same(tiny_artefact: Artefact, tiny_checkpoint: Checkpoint) -> None:
    """A cut-back cache against whole sequences, and the reference's batch against its single sequences."""
    tokenizer = tiny_checkpoint.tokenizer
    rewinding = open_runner(tiny_artefact, 1)
    whole = WholeSequences(Backend(str(tiny_artefact.folder), 256, 1))
    reference = Reference.from_checkpoint(tiny_checkpoint)
    for row in ROWS:
        asked = continuations(tokenizer, row)
        exact = [_by_one(reference, one) for one in asked]
        assert log_likelihoods(FullPrecision(reference), asked) == pytest.approx(exact, abs=1e-3)
        assert log_likelihoods(rewinding, asked) == pytest.approx(log_likelihoods(whole, asked), abs=0.05)
        assert log_likelihoods(rewinding, asked) == pytest.approx(exact, rel=0.05)


def _by_one(reference: Reference, one: Continuation) -> float:
    rows = reference.logits(list(one.tokens)).log_softmax(-1)
    return sum(float(rows[i - 1, one.tokens[i]]) for i in range(one.start, len(one.tokens)))
