"""A chat template rendered as transformers renders it, and what rendering shows of it: the clock, lists of parts."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from smolship.errors import InputError

Messages = Sequence[Mapping[str, Any]]

DAY = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - templates get the time of day without a zone, as from transformers
"""what a template that asks for the time is told unless somebody talks to the model: the same text on every day"""
LONGEST = 1 << 24
"""characters that a template may write"""
_SHOWN = 200
"""characters of what a template raised"""
ONE_TURN = [{"role": "user", "content": "a"}]
SYSTEM_TURN = [{"role": "system", "content": "s"}, *ONE_TURN]
THREE_TURNS = [*ONE_TURN, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
"""conversations that show what a template does"""
_MARK = "Words that are looked for"
_QUOTED = re.compile(rf"""["']text["']\s*:\s*["']{_MARK}""")
"""the whole of a part, written as Python or JSON: by a template that knows no parts"""
_ROLES: dict[str, list[dict[str, str]]] = {
    "user": [{"role": "user", "content": _MARK}],
    "system": [{"role": "system", "content": _MARK}, *ONE_TURN],
    "assistant": [*ONE_TURN, {"role": "assistant", "content": _MARK}, *ONE_TURN],
}
"""a conversation for each role, in which it says what is looked for"""


class Unrenderable(InputError):
    """A template that is malformed, fails, steps out of its sandbox or refuses a conversation."""

    def __init__(self, reason: str) -> None:
        """`reason` is what it said itself, or what Python said of it."""
        super().__init__(
            f"the chat template cannot render this conversation ({reason}): "
            "give messages it accepts, or repair the checkpoint's template"
        )
        self.reason = reason


def render(
    template: str,
    messages: Messages,
    tokens: Mapping[str, str],
    *,
    add_generation_prompt: bool,
    now: datetime = DAY,
) -> str:
    """The text of a conversation; `tokens` are `bos_token` and its like, which a template may name.

    `now` is the local time, without a zone, for templates that ask. A content that is a text is given as a list of one
    part of text to a template that wants that. Raises `Unrenderable` if the template is malformed, fails, steps out of
    its sandbox, refuses the conversation or writes more than `LONGEST`.

    Jinja has no endless loops, and its sandbox no range beyond 100,000; how long nested loops take, and what memory an
    expression takes, is not bounded: a template is chosen by who gives the checkpoint, and Ctrl-C ends it.
    """
    shaped = _shaped(messages, parted_roles(template, tuple(sorted(tokens.items()))))
    return _written(template, shaped, tokens, add_generation_prompt, now.strftime)


def asks_for_time(template: str, messages: Messages, tokens: Mapping[str, str]) -> bool:
    """Whether rendering this conversation looks at the clock, so that another day may give another text."""
    asked: list[str] = []

    def strftime_now(form: str) -> str:
        asked.append(form)
        return DAY.strftime(form)

    shaped = _shaped(messages, parted_roles(template, tuple(sorted(tokens.items()))))
    with suppress(Unrenderable):  # by then it has asked or not
        _written(template, shaped, tokens, True, strftime_now)
    return bool(asked)


@lru_cache(maxsize=8)
def parted_roles(template: str, tokens: tuple[tuple[str, str], ...]) -> frozenset[str]:
    """The roles whose content the template wants as a list of parts, `{"type": "text", "text": …}` each.

    Those are the ones whose words it writes as they are when it is given parts, and not when it is given a text: given
    one, it goes through the letters and writes what it has for a part that is no text, or nothing.
    """
    parted: frozenset[str] = frozenset()
    for role, messages in _ROLES.items():
        as_text, as_parts = (
            _attempt(template, _shaped(messages, roles), tokens) for roles in (parted, parted | {role})
        )
        if _MARK not in as_text and _MARK in as_parts and not _QUOTED.search(as_parts):
            parted |= {role}
    return parted


def _attempt(template: str, messages: list[dict[str, Any]], tokens: tuple[tuple[str, str], ...]) -> str:
    """The text, or nothing if there is none."""
    try:
        return _written(template, messages, dict(tokens), True, DAY.strftime)
    except Unrenderable:
        return ""


def _shaped(messages: Messages, parted: frozenset[str]) -> list[dict[str, Any]]:
    """The messages, with parts in place of the texts of these roles."""
    shaped = [dict(message) for message in messages]
    for message in shaped:
        if message.get("role") in parted and isinstance(message.get("content"), str):
            message["content"] = [{"type": "text", "text": message["content"]}]
    return shaped


def _written(
    template: str,
    messages: list[dict[str, Any]],
    tokens: Mapping[str, str],
    add_generation_prompt: bool,
    strftime_now: Callable[[str], str],
) -> str:
    from jinja2 import TemplateError

    from smolship.checkpoint.chat.environment import compiled

    given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
    written: list[str] = []
    length = 0
    try:
        for piece in compiled(template).generate(strftime_now=strftime_now, **tokens, **given):
            written.append(piece)
            length += len(piece)
            if length > LONGEST:
                raise TemplateError(f"it writes more than {LONGEST:,} characters")
    # A template is a program that came with the checkpoint: whatever it raises, and whatever Jinja and Python's own
    # compiler raise at it, is the template's own fault and no defect of smolship. Nothing else runs in this block.
    except Exception as error:
        said = _on_one_line(str(error))
        raise Unrenderable(said if isinstance(error, TemplateError) else f"{type(error).__name__}: {said}") from error
    return "".join(written)


def _on_one_line(text: str) -> str:
    """A beginning of it, without what would move a terminal's cursor or begin another line of a file."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_SHOWN]
