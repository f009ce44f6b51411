"""Chat templates: rendered as transformers renders them, whatever they do is theirs, and no day is ever kept."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tiny import CHAT_TEMPLATE, write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, Tokenizer, open_outline
from smolship.checkpoint.chat.notes import chat_notes
from smolship.checkpoint.chat.template import LONGEST, parted_roles, render
from smolship.errors import InputError
from smolship.runtime_checks.job import questions_for
from smolship.runtime_checks.texts import kinds_for, text_for

TOKENS = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
}
TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
PLAIN = "{% for m in messages %}" + TURN + "{% endfor %}" + PROMPT
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + TURN + "{% endfor %}" + PROMPT
)  # fmt: skip
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}" + TURN + "{% endfor %}" + PROMPT
)
ONE_TURN_ONLY = (
    "{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}[{{ messages[0].content }}]"
)
PARTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% for p in m['content'] %}"
    "{{ p.text + '' if p.type == 'text' else '<img>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}" + PROMPT
)
USER_IN_PARTS = (
    "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}{{ p['text'] }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}/{% endfor %}"
)
EITHER = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endif %}{% endfor %}"
)
DATED = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nToday Date: ' + strftime_now('%d %B %Y') + '<|im_end|>\n' }}{% endif %}" + PLAIN
)

CHATS: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": "Hi <b>&</b> \"é\" '😀'"}],
    [{"role": "system", "content": "  Be brief. "}, {"role": "user", "content": ""}],
    [
        {"role": "user", "content": "a\n\tb"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e", "reasoning_content": "f"},
    ],
)
TEMPLATES = {
    "SmolLM2": CHAT_TEMPLATE,
    "plain": PLAIN,
    "generation tags": "{% for m in messages %}{% generation %}{{ m.content }}\n{% endgeneration %}\n|{% endfor %}",
    "trimmed generation tags": "{% for m in messages %} x {%- generation -%}  {{ m.content }} \n"
    "  {%- endgeneration -%}  \n y {% endfor %}",
    "generation inside a condition": "{% for m in messages %}{% if m.role == 'assistant' %}  {% generation %}\n"
    "{{ loop.index }}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.role }}{% endif %}\n{% endfor %}",
    "a name set in a generation block": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}"
    "{{ x }}",
    "a namespace in a generation block": "{% set ns = namespace(x=1) %}{% generation %}{% set ns.x = 2 %}"
    "{% endgeneration %}{{ ns.x }}",
    "a generation block in a macro": "{% macro say(m) %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
    "blocks and their lines": "{% for m in messages %}\n    {% if m.role == 'user' %}\n  {{ m.content }}\n"
    "    {% endif %}\n    {# a comment #}\n{% endfor %}\n",
    "loop controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}"
    "{% if loop.index > 1 %}{% break %}{% endif %}{% endfor %}",
    "json": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ messages[0] | tojson(ensure_ascii=True) }}"
    "{{ messages[0] | tojson(separators=(',', ':'), sort_keys=True) }}",
    "what is not given": "{{ tools is none }}{{ documents is none }}{{ tools is defined }}{{ nothing is defined }}"
    "{{ nothing }}{{ enable_thinking | default(true) }}{{ sep_token is defined }}",
    "names of tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}",
    "the clock's zone": "[{{ strftime_now('%Z%z') }}]",
    "methods of texts": "{% for m in messages %}{{ m.content.strip().split('\n')[0] | upper }}{{ m['content'] | trim }}"
    "{{ m.get('reasoning_content', '-') }}{{ m.content.startswith('Hi') }}{% endfor %}",
    "slices": "{% for m in messages[::-1] %}{{ loop.index0 }}{{ loop.last }}{{ m.role[:2] }}{% endfor %}"
    "{{ range(3) | list }}",
    "dictionaries": "{% set d = dict(a=1, b=2) %}{{ d.items() | list }}{{ d | dictsort }}"
    "{{ messages[0].items() | list }}",
    "both kinds of content": EITHER,
    "the prompt": "{{ add_generation_prompt }}" + PROMPT,
    "white space at the end": "{{ messages[0].content }}\n\n",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_transformers_renders_is_rendered(name: str) -> None:
    from transformers.utils import chat_template_utils

    theirs: Any = chat_template_utils.render_jinja_template
    for messages in CHATS:
        for prompt in (True, False):
            given = {"chat_template": TEMPLATES[name], "add_generation_prompt": prompt, **TOKENS}
            expected = theirs([messages], **given)[0][0]
            assert render(TEMPLATES[name], messages, TOKENS, add_generation_prompt=prompt) == expected


FAULTS = {
    "an operand of another type": ("{{ 'a' + 1 }}", "TypeError: can only concatenate"),
    "a division by zero": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "a macro without end": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "a range beyond the sandbox's": ("{{ range(1000000) | list }}", "OverflowError: Range too big"),
    "a key that is not there": ("{{ {}.popitem() }}", "unsafe"),
    "a format of nothing": ("{{ '%d' % 'a' }}", "TypeError"),
    "a time that is none": ("{{ strftime_now(3) }}", "TypeError"),
    "a break of no loop": ("{% generation %}{% break %}{% endgeneration %}", "SyntaxError: 'break' outside loop"),
    "a tag that is not closed": ("{% generation %}", "Unexpected end of template"),
    "more parentheses than Python takes": ("{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}", "Error"),
    "a text without end": (
        "{% for i in range(99999) %}{{ 'word ' * 999 }}{% endfor %}",
        f"more than {LONGEST:,} characters",
    ),
    "what it raises itself": ("{{ raise_exception('no\n\n  more\x1b[2J') }}", r"\(no more \[2J\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_template_raises_is_its_own_fault(fault: str) -> None:
    template, said = FAULTS[fault]
    with pytest.raises(InputError, match=said) as raised:
        render(template, CHATS[0], TOKENS, add_generation_prompt=True)
    assert str(raised.value).startswith("the chat template cannot render this conversation (")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("template", "roles"),
    [
        (PLAIN, set()),
        (EITHER, set()),
        ("{% for m in messages %}{% for letter in m.content %}{{ letter }}{% endfor %}{% endfor %}", set()),
        ("{{ messages[0].content | upper }}", set()),
        ("{% set c = messages[0].content %}{{ c | upper if c is string else c }}", set()),
        ("{% set c = messages[0].content %}{{ c | upper if c is string else c | tojson }}", set()),
        ("{{ messages[0].content | length }}", set()),
        (PARTS, {"user", "system", "assistant"}),
        (USER_IN_PARTS, {"user"}),
        (
            PARTS.replace("m['content'] %}", "m['content'] %}{{ 1 / 0 if p is string }}"),
            {"user", "system", "assistant"},
        ),
        (NO_SYSTEM.replace("m['content']", "m['content'][0].text"), {"user", "assistant"}),
    ],
)
def test_content_is_given_as_parts_where_the_template_wants_that(template: str, roles: set[str]) -> None:
    assert parted_roles(template, ()) == roles


def test_parts_say_what_the_text_says() -> None:
    for messages in CHATS:
        as_text = render(PLAIN, messages, TOKENS, add_generation_prompt=True)
        assert render(PARTS, messages, TOKENS, add_generation_prompt=True) == as_text
    given = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is that?"}]}]
    assert "<img>What is that?" in render(PARTS, given, TOKENS, add_generation_prompt=True)


def test_only_the_one_who_talks_is_told_the_day(tiny_checkpoint: Checkpoint) -> None:
    days = [datetime(2001, 2, 3), datetime(2030, 11, 28)]  # noqa: DTZ001 - as `render` takes it
    told = [render(DATED, CHATS[0], TOKENS, add_generation_prompt=True, now=day) for day in days]
    assert "Today Date: 03 February 2001" in told[0]
    assert "Today Date: 28 November 2030" in told[1]
    tokenizer = with_template(tiny_checkpoint, DATED)
    assert tokenizer.tells_time
    assert "Today Date: 01 January 2026" in tokenizer.render_chat(CHATS[0])
    assert "Today Date: 01 January 2026" in text_for(tokenizer, "chat").content


@pytest.mark.parametrize(
    ("template", "tells"),
    [
        (PLAIN, False),
        (DATED, True),
        ("{% if strftime_now is defined and false %}{{ strftime_now('%d') }}{% endif %}x", False),
        ("{{ 'Merry Christmas' if strftime_now('%m') == '12' else 'Hello' }}", True),
        ("{% if messages | length > 2 %}{{ strftime_now('%d') }}{% endif %}x", True),
    ],
)
def test_a_template_that_looks_at_the_clock_is_known(tiny_checkpoint: Checkpoint, template: str, tells: bool) -> None:
    assert with_template(tiny_checkpoint, template).tells_time == tells


SYSTEM = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


@pytest.mark.parametrize(
    ("template", "taken", "kinds"),
    [
        (PLAIN, SYSTEM, ("prose", "chat", "code")),
        (NO_SYSTEM, SYSTEM[1:], ("prose", "chat", "code")),
        (ALTERNATING, SYSTEM[1:], ("prose", "chat", "code")),
        (ONE_TURN_ONLY, SYSTEM[1:], ("prose", "code")),
        ("{{ raise_exception('never') }}", None, ("prose", "code")),
        ("{% broken", None, ("prose", "code")),
    ],
)
def test_smolships_own_chats_are_what_the_template_takes(
    tiny_checkpoint: Checkpoint, template: str, taken: object, kinds: tuple[str, ...]
) -> None:
    tokenizer = with_template(tiny_checkpoint, template)
    assert tokenizer.accepted(SYSTEM) == taken
    assert tokenizer.talks == (taken is not None)
    assert kinds_for(tokenizer) == kinds
    asked = questions_for(tokenizer)
    assert len(asked.questions) == 4
    assert {question.ends for question in asked.questions} == ({True, False} if taken else {False})
    assert all(
        tokenizer.render_chat(one.messages) == text
        for one, text in zip(asked.conversations, asked.rendered, strict=True)
    )
    assert len(asked.conversations) == (0 if taken is None else 6 if template == ONE_TURN_ONLY else 7)
    if "chat" not in kinds:
        with pytest.raises(InputError, match="renders no dialogue"):
            text_for(tokenizer, "chat")


def test_dialogues_without_their_system_turns_say_all_the_rest(tiny_checkpoint: Checkpoint) -> None:
    whole = text_for(with_template(tiny_checkpoint, PLAIN), "chat").content
    without = text_for(with_template(tiny_checkpoint, NO_SYSTEM), "chat").content
    turns = whole.split("<|im_start|>")
    assert without.split("<|im_start|>") == [turn for turn in turns if not turn.startswith("system\n")]
    assert len(without) < len(whole)


NOTES: dict[str, tuple[str | None, list[str]]] = {
    "SmolLM2's": (CHAT_TEMPLATE, []),
    "none": (None, []),
    "generation tags": (PLAIN.replace(TURN, "{% generation %}" + TURN + "{% endgeneration %}"), []),
    "no system": (
        NO_SYSTEM,
        ["refuses a system message (System role not supported): smolship's own", "gets no TEMPLATE"],
    ),
    "a date": (DATED, ["tells the time: smolship's own chats are rendered as on 2026-01-01", "gets no TEMPLATE"]),
    "parts": (PARTS, ["wants content as a list of parts (of assistant, system, user)"]),
    "one turn": (ONE_TURN_ONLY, ["system message (one at a time)", "three turns (one at a time)", "gets no TEMPLATE"]),
    "another language": ("{{ messages[0].content }}", ["is not ChatML: Ollama's Modelfile (GGUF) gets no TEMPLATE"]),
    "words in JSON": (
        TURN.join(["{% for m in messages %}", "{% endfor %}"]).replace("m['content']", "m['content'] | tojson"),
        ["does not write a user's words as they are: text to calibrate on is sampled", "gets no TEMPLATE"],
    ),
    "a broken one": (
        "{% if %}",
        [
            "does not render what a user says (Expected an expression",
        ],
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_a_template_narrows_is_said(tiny_checkpoint: Checkpoint, name: str) -> None:
    template, sentences = NOTES[name]
    notes = chat_notes(with_template(tiny_checkpoint, template))
    assert len(notes) == len(sentences)
    assert all(sentence in note for note, sentence in zip(notes, sentences, strict=True))


def test_opening_says_it(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    assert open_outline(str(folder)).notes == ()
    (folder / "chat_template.jinja").write_text(NO_SYSTEM)
    assert any("refuses a system message" in note for note in open_outline(str(folder)).notes)


def with_template(checkpoint: Checkpoint, template: str | None) -> Tokenizer:
    """The checkpoint's tokenizer with another chat template."""
    return replace(checkpoint.tokenizer, chat_template=template)
