"""Members built in three formats: each runtime says what transformers says, and ends where it ends."""

from collections.abc import Callable

import pytest

from smolship.artefact import Artefact
from smolship.workflows.build import Order, build
from smolship.workflows.chat import Chat, Sampling
from zoo.conftest import Open
from zoo.lesson import LONGEST, asked
from zoo.table import BUILT, Member, answers

pytestmark = pytest.mark.slow
FORMATS = ("gguf", "onnx", "executorch")
RUN = frozenset(
    {
        "base",
        "several-ends",
        "eos-in-tokenizer",
        "pad-64",
        "pad-added",
        "untied",
        "smollm-first",
        "trl-chat-format",
        "v5-gpt2-tokenizer",
        "v5-byte-level",
        "trl-clone-template",
        "gguf-untied",
    }
)
"""Members whose artefacts differ from all others': the rest differ from one of them in what is read alone."""
SURE = 1.0
"""nats between the first and the second choice that 8 bits do not turn round"""

Built = Callable[[Member, str], Artefact]


@pytest.fixture(scope="module")
def built(opened: Open, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Builds one format of a member at 8 bits."""
    out = tmp_path_factory.mktemp("built")

    def artefact(member: Member, fmt: str) -> Artefact:
        order = Order(recipes=("q8",), formats=(fmt,), context=256)
        return build(opened(member), out / member.name, order)[0].artefact

    return artefact


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("member", [one for one in BUILT if one.name in RUN], ids=lambda member: member.name)
def test_the_runtime_answers_as_transformers_does(member: Member, fmt: str, opened: Open, built: Built) -> None:
    tokenizer = opened(member).tokenizer
    chat = Chat(built(member, fmt), 1, Sampling())
    for one in answers(member)["continuations"]:
        last = next((at for at, token in enumerate(one["new"]) if token in member.ends), len(one["new"]))
        assert min(one["margins"][: last + 1]) > SURE
        said = "".join(chat.answer(asked(one["asked"]), LONGEST))
        assert said == tokenizer.decode(one["new"][:last])


def test_every_member_that_is_run_is_in_the_table() -> None:
    assert {member.name for member in BUILT} >= RUN
