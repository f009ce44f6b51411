"""What a probe may print: whatever it is, it ends in a record, a result or a short sentence of ours."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from smolship.checkpoint import Checkpoint
from smolship.errors import RuntimeFailure
from smolship.runtime_checks.collect import Collector
from smolship.runtime_checks.job import questions_for
from smolship.runtime_checks.measurements import Failure
from smolship.runtime_checks.run_probe import run_probe
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import Exit, Local
from smolship.targets.lines import OnLine

HEAD = '{"protocol": 1, "record": '
RESIDENT = '"memory": {"peak": 1, "rss": 1, "anon": 1, "file": 1}'


class Says(Local):
    """A device whose probe prints lines and ends well."""

    def __init__(self, *lines: str) -> None:
        super().__init__(Path())
        self._lines = lines

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """See `Transport.run`."""
        for line in self._lines:
            on_line(line)
        return Exit(0, None, False, 0.0, "")


@pytest.fixture
def collector(tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows) -> Collector:
    """Who takes the records."""
    tokenizer = tiny_checkpoint.tokenizer
    return Collector(questions_for(tokenizer), tokenizer, tiny_reference, Local(Path()), None, lambda *_: None)


def told(collector: Collector, *lines: str) -> Failure | None:
    return run_probe(Says(*lines), collector, timeout=1, command=[])


@pytest.mark.parametrize(
    ("record", "stage", "message"),
    [
        ('"failed"}', "start", "it did not say why: it did not say why"),
        ('"failed", "stage": "load", "kind": "OSError", "error": "no"}', "load", "OSError: no"),
        (r'"failed", "stage": "a\nb", "kind": "\u001b[2J", "error": 5}', "a b", "�[2J: 5"),
        ('"failed", "stage": [], "kind": 5, "error": {"a": null}}', "[]", "5: {'a': None}"),
        ('"failed", "stage": "load", "kind": "E", "error": "' + "x" * 10_000 + '"}', "load", "E: " + "x" * 400),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_probe_that_fails_is_a_result_in_one_bounded_line(
    collector: Collector, record: str, stage: str, message: str
) -> None:
    failure = told(collector, HEAD + record)
    assert failure is not None
    assert (failure.stage, failure.message) == (stage, message)


@pytest.mark.parametrize(
    "line",
    [
        "\033[2J\033]0;owned\007 not JSON",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 10_000,
        "[]",
        "null",
        HEAD + "[]}",
        HEAD + "{}}",
        HEAD + '"' + "x" * 100_000 + '"}',
        HEAD + '"done"}',
        HEAD + '"load", ' + RESIDENT + ', "seconds": "soon", "versions": {}, "chat_template": null}',
        HEAD + '"load", ' + RESIDENT + ', "seconds": 1, "versions": 5, "chat_template": null}',
        HEAD + '"load", ' + RESIDENT + ', "seconds": 1, "versions": {}, "chat_template": []}',
        HEAD + '"speed", "measure": "decode", "tokens": 8, "seconds": [0.0]}',
        HEAD + '"speed", "measure": "decode", "tokens": 8, "seconds": [NaN]}',
        HEAD + '"speed", "measure": "decode", "tokens": ' + "9" * 400 + ', "seconds": [1]}',
        HEAD + '"speed", "measure": ["decode"], "tokens": 8, "seconds": [1]}',
        HEAD + '"sustained", "tokens": 0, "seconds": 0}',
        HEAD + '"imports", "memory": {"peak": -1, "rss": 1, "anon": 1, "file": 1}}',
        HEAD + '"generated", "name": "capital-of-france", "text": 5, "stopped": true}',
        HEAD + r'"generated", "name": "capital-of-france", "text": "\ud800", "stopped": true}',
        HEAD + r'"failed", "stage": "load", "kind": "\ud800", "error": ""}',
        HEAD + '"generated", "name": "capital-of-france", "text": null, "tokens": [-1]}',
        HEAD + '"tokenized", "name": "texts", "ids": [[-1]], "bytes": ["00"]}',
        HEAD + '"unsupported"}',
    ],
    ids=lambda line: line[:70],
)
def test_what_is_not_the_protocol_is_a_short_sentence_that_a_terminal_can_show(collector: Collector, line: str) -> None:
    """And an error of ours: one of another kind would end the runs on all other devices."""
    with pytest.raises(RuntimeFailure) as refused:
        told(collector, line)
    assert len(str(refused.value)) < 800
    assert str(refused.value).isprintable()


def test_an_answer_is_taken_once(collector: Collector) -> None:
    answer = HEAD + '"generated", "name": "capital-of-france", "text": "Paris", "stopped": true}'
    with pytest.raises(RuntimeFailure, match="capital-of-france was answered before"):
        told(collector, answer, answer)
    assert [one.text for one in collector.fields["answers"]] == ["Paris"]


def test_why_a_step_was_not_taken_is_one_line(collector: Collector) -> None:
    told(collector, HEAD + r'"unsupported", "step": "tokenize", "reason": "the program\nhas \u001b[1mnone"}')
    assert collector.fields["unsupported"] == {"tokenize": "the program has �[1mnone"}
