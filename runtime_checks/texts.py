"""The texts that fidelity is measured on: the project's own, by kind, or a file of the user's."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from smolship.checkpoint import Tokenizer
from smolship.checkpoint.chat.template import THREE_TURNS
from smolship.errors import InputError
from smolship.text_file import read_text_file


@dataclass(frozen=True)
class Text:
    """A text and what a report calls it."""

    name: str
    content: str
    own: bool
    """the project's own: as long as it is, where a user's has to fill what was asked for"""


def _prose(_tokenizer: Tokenizer) -> str:
    return _stored("prose.txt")


def _chat(tokenizer: Tokenizer) -> str:
    """The dialogues one after another, as the checkpoint's template renders each; without those that it refuses."""
    if tokenizer.chat_template is None:
        raise InputError("this checkpoint has no chat template (it is a base model): take --text prose or --text code")
    dialogues = [tokenizer.accepted(one["messages"]) for one in tomllib.loads(_stored("chat.toml"))["conversation"]]
    text = "".join(tokenizer.render_chat(one, add_generation_prompt=False) for one in dialogues if one is not None)
    if not text:
        raise InputError(
            f"the checkpoint's chat template renders no dialogue ({tokenizer.refusal(THREE_TURNS)}): "
            "take --text prose or --text code, or repair the template"
        )
    return text


def _code(_tokenizer: Tokenizer) -> str:
    return _stored("code.txt")


KINDS: dict[str, tuple[str, Callable[[Tokenizer], str]]] = {
    "prose": ("smolship's evaluation text", _prose),
    "chat": ("smolship's chat text", _chat),
    "code": ("smolship's code text", _code),
}
"""by the name that `--text` takes: what a report calls it, and how it is made for a tokenizer"""


def text_for(tokenizer: Tokenizer, which: str | Path) -> Text:
    """The project's text of a kind of `KINDS`, or the UTF-8 file at a path (`.gz` is unpacked).

    A name of the table is the kind; a file of that name is given as `./chat` or as a `Path`. `InputError` if there is
    no such file, if it is not UTF-8, or if a base model is asked for chat.
    """
    if isinstance(which, str) and which in KINDS:
        name, make = KINDS[which]
        return Text(name, make(tokenizer), own=True)
    file = read_text_file(Path(which), f"give a plain text file, or one of {', '.join(KINDS)}")
    return Text(file.name, file.content, own=False)


def kinds_for(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The kinds that there is text of: chat where the checkpoint's template renders dialogues."""
    return tuple(kind for kind in KINDS if kind != "chat" or tokenizer.accepted(THREE_TURNS) is not None)


def _stored(name: str) -> str:
    return (files("smolship.runtime_checks") / "text" / name).read_text(encoding="utf-8")
