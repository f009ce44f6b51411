"""The questions and conversations of `prompts.toml`, and the strings on which tokenizers are compared."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from smolship.checkpoint import Tokenizer

TEXTS: tuple[str, ...] = (
    "The quick brown fox jumps over the lazy dog.",
    "  leading, trailing and   inner   spaces  ",
    "line\nbreaks\n\nand\ttabs\r\n",
    "1234567890 3.14159 1,000,000 2026-11-23 0x1F",
    "don't we'll I'm you've it's they'd WE'RE",
    "def f(x: int) -> str:\n    return f'{x!r}'  # comment",
    '{"key": [1, 2.5, null, true], "other": "a\\nb"}',
    "Ünïcödé ñandú façade Ångström Größe",
    "Привет, мир! Как дела?",
    "你好，世界。日本語のテキスト。한국어 문장.",  # noqa: RUF001 - Chinese has its own comma
    "مرحبا بالعالم  שלום עולם",
    "नमस्ते दुनिया",
    "😀 👩‍🚀 🇫🇷 👍🏽 ❤️",
    "∑ᵢ xᵢ² ≤ √(π·ε) ± ∞ ⇒ ∀x∃y",
    "e\u0301 vs \u00e9, zero\u200bwidth, no\u00a0break, \ufeffmark",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
    "<|not_a_token|> <repo_name>x<file_sep>",
    "http://example.org/a?b=c&d=%20#e user@example.org",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA aAaAaA",
    "!!! ??? ... --- *** ### $$$ %%% ((( )))",
    " ",
    "\n",
    "a",
    "",
)


@dataclass(frozen=True)
class Question:
    """A prompt whose greedy answer is known."""

    name: str
    prompt: str
    """the text after rendering, special tokens spelled out"""
    shown: str
    """as people read it"""
    expected: str
    ends: bool
    """whether the answer is short enough to end by itself"""

    def is_answered_by(self, text: str) -> bool:
        """Whether the expected words are in the text, in any case of letters."""
        return self.expected.lower() in text.lower()


@dataclass(frozen=True)
class Conversation:
    """Messages that a chat template renders."""

    name: str
    messages: tuple[dict[str, str], ...]


def questions(tokenizer: Tokenizer) -> tuple[Question, ...]:
    """Chat questions for a model that talks, without a system turn if it takes none; else texts to complete."""
    table = _table()
    if not tokenizer.talks:
        return tuple(
            Question(line["name"], line["text"], line["text"], line["expected"], ends=False)
            for line in table["completion"]
        )
    return tuple(
        Question(line["name"], _prompt(tokenizer, line), line["user"], line["expected"], ends=line["ends"])
        for line in table["chat"]
    )


def example_messages() -> list[dict[str, str]]:
    """The first chat question as messages, for examples that people copy."""
    return _turns(_table()["chat"][0])


def example_text() -> str:
    """The first text to complete."""
    return str(_table()["completion"][0]["text"])


def conversations(tokenizer: Tokenizer) -> tuple[Conversation, ...]:
    """The conversations on which chat templates are compared: those that the checkpoint's takes, as it takes them."""
    lines = [(line["name"], tokenizer.accepted(line["messages"])) for line in _table()["conversation"]]
    return tuple(Conversation(name, tuple(messages)) for name, messages in lines if messages is not None)


def _prompt(tokenizer: Tokenizer, line: dict[str, Any]) -> str:
    turns = _turns(line)
    return tokenizer.render_chat(tokenizer.accepted(turns) or turns)


def _turns(line: dict[str, Any]) -> list[dict[str, str]]:
    return [{"role": "system", "content": line["system"]}, {"role": "user", "content": line["user"]}]


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads((files("smolship.runtime_checks") / "prompts.toml").read_text(encoding="utf-8"))
