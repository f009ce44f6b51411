"""Text that others wrote (a checkpoint's name, its chat template) inside of code and of Markdown."""

import re
from collections.abc import Callable

_SPECIAL = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL: dict[str, Callable[[int], str]] = {
    "python": lambda code: f"\\x{code:02x}",
    "cpp": lambda code: f"\\{code:03o}",
    "kotlin": lambda code: f"\\u{code:04x}",
    "swift": lambda code: f"\\u{{{code:x}}}",
}
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&#]|(?<!\w)_|_(?!\w))")


def literal(text: str, language: str) -> str:
    """A string literal of the language (`python`, `cpp`, `kotlin` or `swift`) on one line, with its quotes."""
    escaped = "".join(_SPECIAL.get(one) or (_CONTROL[language](ord(one)) if ord(one) < 32 else one) for one in text)
    return '"' + (escaped.replace("$", "\\$") if language == "kotlin" else escaped) + '"'


def plain(text: str) -> str:
    """Text that shows as it is in Markdown, in a line or in a table's field."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def slug(text: str) -> str:
    """The text as a name that Ollama and a shell take as it is."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "smollm2"
