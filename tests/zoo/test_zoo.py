"""Checkpoints of people's own tools: what is understood of them is what transformers makes of them.

Our reference is held against transformers' own forward of the same folder here, by the version that wrote it: a fact
that is read wrongly is wrong in the reference too, and no check of an artefact against it can see that.
"""

import pytest

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError
from smolship.reference import Reference
from zoo.conftest import Open, Place
from zoo.table import BUILT, REFUSED, Member, answers, logits

LIMIT = 1e-3
"""of the difference of logits between two float32 forwards"""
every_member = pytest.mark.parametrize("member", BUILT, ids=lambda member: member.name)


@every_member
def test_the_reference_computes_what_transformers_does(member: Member, opened: Open) -> None:
    told, expected = answers(member), logits(member)
    checkpoint = opened(member)
    rows = checkpoint.architecture.vocabulary
    assert len(checkpoint.tokenizer.vocabulary()) <= rows <= expected.shape[-1]  # spare rows may be cut
    found = Reference.from_checkpoint(checkpoint).logits(told["tokens"]).numpy()[told["positions"]]
    assert abs(found - expected[:, :rows]).max() <= LIMIT


@every_member
def test_text_becomes_the_same_tokens(member: Member, opened: Open) -> None:
    tokenizer = opened(member).tokenizer
    for one in answers(member)["texts"]:
        assert tokenizer.encode(one["text"]) == one["ids"], one["text"]


@every_member
def test_a_conversation_becomes_the_same_text(member: Member, opened: Open) -> None:
    checkpoint = opened(member)
    told = answers(member)["conversations"]
    assert bool(told) == checkpoint.is_instruct
    for one in told:
        found = checkpoint.tokenizer.render_chat(one["messages"], add_generation_prompt=one["prompting"])
        assert found == one["text"]


@every_member
def test_generation_takes_the_same_tokens_and_ends_there(member: Member, opened: Open) -> None:
    checkpoint = opened(member)
    reference = Reference.from_checkpoint(checkpoint)
    assert set(checkpoint.architecture.end_ids) == set(member.ends)
    assert checkpoint.architecture.end_ids[0] == checkpoint.architecture.eos_id == member.ends[0]
    ended = []
    for one in answers(member)["continuations"]:
        prompt, new = one["ids"], one["new"]
        assert checkpoint.tokenizer.encode(one["prompt"]) == prompt
        chosen = reference.logits([*prompt, *new]).argmax(-1)[len(prompt) - 1 : -1].tolist()
        last = next((at for at, token in enumerate(new) if token in checkpoint.architecture.end_ids), None)
        assert chosen[: last and last + 1] == new[: last and last + 1]
        if not member.runs_on:
            assert last in (None, len(new) - 1)  # `generate` stopped there too
        ended.append(last is not None)
    assert any(ended)


@every_member
def test_what_two_places_say_differently_is_noted(member: Member, opened: Open) -> None:
    notes = opened(member).notes
    if member.noted:
        assert any(all(word in note for word in member.noted) for note in notes), notes
    if member.quiet:
        assert notes == ()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_refused_for_its_true_cause(name: str, place: Place) -> None:
    with pytest.raises(InputError, match=REFUSED[name]):
        open_checkpoint(str(place(name)))
