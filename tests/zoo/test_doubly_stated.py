"""Where two places can say one thing they are compared: alike they are nothing to speak of, unlike they are named."""

import re
from pathlib import Path

import pytest

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError
from smolship.workflows.build import Order, build
from zoo.facts import FACTS, Fact

every_fact = pytest.mark.parametrize("fact", FACTS.values(), ids=FACTS)


@every_fact
def test_places_that_agree_are_built_without_a_word(fact: Fact, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(fact.agree(tmp_path)))
    assert not [note for note in checkpoint.notes if named(fact, note)]
    (built,) = build(checkpoint, tmp_path / "out", Order(recipes=("q8",), formats=("gguf",), context=64))
    built.artefact.verify()


@every_fact
def test_places_that_differ_are_named_or_refused(fact: Fact, tmp_path: Path) -> None:
    place = str(fact.differ(tmp_path))
    try:
        said = open_checkpoint(place).notes
    except InputError as error:
        said = (str(error),)
    assert any(named(fact, sentence.replace(str(tmp_path), "")) for sentence in said), said


def named(fact: Fact, sentence: str) -> bool:
    """Whether a sentence names both places."""
    return all(re.search(pattern, sentence) for pattern in fact.named)
