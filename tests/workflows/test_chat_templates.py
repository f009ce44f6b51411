"""Checkpoints with chat templates of many manners: built, talked to and checked as each template has it."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.quantize.calibration.sampling import openings
from smolship.runtime_checks.check_artefact import Settings
from smolship.workflows.blueprint import calibrating_of
from smolship.workflows.build import Order, build
from smolship.workflows.chat import Chat, Sampling
from smolship.workflows.check import check, prepare

TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TURNS = "{% for m in messages %}" + TURN + "{% endfor %}" + PROMPT
GENERATION = "{% for m in messages %}{% generation %}" + TURN + "{% endgeneration %}{% endfor %}" + PROMPT
REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TURNS
PARTS = TURNS.replace("m.content", "m.content[0].text")
DATED = "{{ strftime_now('%Y-%m-%d') }}\n" + TURNS
FAILING = TURNS + "{{ 1 / 0 }}"
ORDER = Order(("q8",), ("gguf",), 1024)


def checkpoint_with(folder: Path, template: str) -> Checkpoint:
    """A tiny checkpoint with this chat template in a file of its own."""
    write_tiny_checkpoint(folder)
    (folder / "chat_template.jinja").write_text(template)
    return open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("template", "kinds", "written"),
    [
        (GENERATION, {"prose", "chat", "code"}, True),
        (REFUSING, {"prose", "chat", "code"}, False),
        (PARTS, {"prose", "chat", "code"}, True),
        (DATED, {"prose", "chat", "code"}, False),
        (FAILING, {"prose", "code"}, True),  # the bare prompt
    ],
)
def test_it_is_built_and_the_same_bytes_again(tmp_path: Path, template: str, kinds: set[str], *, written: bool) -> None:
    checkpoint = checkpoint_with(tmp_path / "tiny", template)
    once, again = (build(checkpoint, tmp_path / name, ORDER)[0].artefact for name in ("once", "again"))
    assert once.manifest.files == again.manifest.files
    assert (once.folder / "README.md").read_bytes() == (again.folder / "README.md").read_bytes()
    assert ('TEMPLATE """' in (once.folder / "Modelfile").read_text()) == written
    assert date.today().isoformat().encode() not in (once.folder / "README.md").read_bytes()  # noqa: DTZ011 - local
    assert calibrating_of(checkpoint, ORDER).watch.keys() == kinds
    begun = [checkpoint.tokenizer.decode(one.tokens) for one in openings(checkpoint.tokenizer, 3)]
    assert begun[2].endswith("<|im_start|>user\n") == ("chat" in kinds)


def prompts_of(artefact: Artefact, messages: Sequence[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the runtime is given to tokenize for an answer."""
    given: list[str] = []
    talk = Chat(artefact, 1, Sampling())
    tokenize = talk._backend.tokenize

    def heard(text: str) -> list[int]:
        given.append(text)
        return tokenize(text)

    monkeypatch.setattr(talk._backend, "tokenize", heard)
    assert len(list(talk.answer(messages, 2))) <= 2
    (prompt,) = given
    return prompt


def test_who_talks_is_told_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = build(checkpoint_with(tmp_path / "tiny", DATED), tmp_path, ORDER)[0].artefact
    before = date.today()  # noqa: DTZ011 - local, as the template's
    prompt = prompts_of(artefact, [{"role": "user", "content": "Hi"}], monkeypatch)
    assert prompt.split("\n")[0] in {before.isoformat(), date.today().isoformat()}  # noqa: DTZ011


def test_who_talks_says_it_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = build(checkpoint_with(tmp_path / "tiny", PARTS), tmp_path, ORDER)[0].artefact
    prompt = prompts_of(artefact, [{"role": "user", "content": "Hi"}], monkeypatch)
    assert prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_what_a_user_says_is_never_dropped(tmp_path: Path) -> None:
    artefact = build(checkpoint_with(tmp_path / "tiny", REFUSING), tmp_path, ORDER)[0].artefact
    talk = Chat(artefact, 1, Sampling())
    with pytest.raises(InputError, match=r"cannot render this conversation \(no system\)"):
        list(talk.answer([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], 2))


@pytest.mark.parametrize(
    ("template", "compared"), [(REFUSING, 7), (PARTS, 7), (DATED, 7), (GENERATION, 7), (FAILING, None)]
)
def test_it_is_checked_on_what_it_takes(tmp_path: Path, template: str, compared: int | None) -> None:
    checkpoint = checkpoint_with(tmp_path / "tiny", template)
    artefact = build(checkpoint, tmp_path, ORDER)[0].artefact
    chosen = prepare(checkpoint, ("gguf",), 1024, "chat" if compared else "prose", tokens=128, longest=64)
    (found,) = check([artefact], checkpoint, chosen, Settings(1, repeats=1))
    assert found.failure is None
    assert len(found.answers) == 4
    assert found.subject.instruct == (compared is not None)
    agreement = found.chat_template
    assert (agreement and (agreement.compared, agreement.identical)) == (compared and (compared, compared))
