"""The job that a probe is sent: which steps, with which tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smolship.checkpoint import Tokenizer
from smolship.errors import InputError
from smolship.runtime_checks.prompts import TEXTS, Conversation, Question, conversations, questions
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.windows import Windows

PREFILL = (64, 512)
FIRST = 64
DECODE = 128
LONGEST_ANSWER = 48
FILES_AT_ONCE = 2
PATIENCE = 120.0
"""seconds the probe waits for its logits to be taken away"""


@dataclass(frozen=True)
class Asked:
    """What the job asks besides speed, with the reference tokenizer's ids: the answers are held against it."""

    questions: tuple[Question, ...]
    texts: tuple[str, ...]
    text_ids: tuple[tuple[int, ...], ...]
    conversations: tuple[Conversation, ...]
    rendered: tuple[str, ...]
    rendered_ids: tuple[tuple[int, ...], ...]


def questions_for(tokenizer: Tokenizer) -> Asked:
    """Everything of `prompts` as this checkpoint's own tokenizer spells it."""
    chats = conversations() if tokenizer.chat_template is not None else ()
    rendered = tuple(tokenizer.render_chat(chat.messages) for chat in chats)
    return Asked(questions(tokenizer), TEXTS, _ids(tokenizer, TEXTS), chats, rendered, _ids(tokenizer, rendered))


def job_for(
    *, format_name: str, context: int, threads: int, repeats: int, asked: Asked, windows: Windows, tokenizer: Tokenizer
) -> dict[str, Any]:
    """The whole job: speed and memory first, before anything else can raise the peak; then answers, tokens, logits.

    `InputError` if the artefact's context cannot hold a window of the text.
    """
    if windows.text.length > context:
        raise InputError(
            f"windows of {windows.text.length} tokens do not fit an artefact made for {context}: take shorter windows"
        )
    tokens = [token for window in windows.tokens for token in window][: max(PREFILL)]
    lengths = [length for length in PREFILL if length <= min(context, len(tokens))]
    first = min(FIRST, len(tokens), context // 2)
    decode = min(DECODE, context - first - 1)
    speed = {"tokens": tokens, "prefill": lengths, "first": first, "decode": decode, "repeats": repeats}
    end = tokenizer.roles["eos_token"]
    stop = tokenizer.encode(end)
    return {
        "backend": runtime_for(format_name).backend,
        "context": context,
        "threads": threads,
        "watch_stdin": True,
        "steps": [
            {"step": "speed", **speed},
            {"step": "memory"},
            *(_generate(question, tokenizer, stop, context) for question in asked.questions),
            {"step": "tokenize", "name": "texts", "texts": list(asked.texts)},
            {"step": "tokenize", "name": "chats", "texts": list(asked.rendered)},
            {
                "step": "windows",
                "windows": [list(window) for window in windows.tokens],
                "keep": FILES_AT_ONCE,
                "patience": PATIENCE,
            },
        ],
    }


def _generate(question: Question, tokenizer: Tokenizer, stop: list[int], context: int) -> dict[str, Any]:
    tokens = tokenizer.encode(question.prompt)
    room = min(LONGEST_ANSWER, context - len(tokens) - 1)
    return {"step": "generate", "name": question.name, "tokens": tokens, "max_new": max(room, 1), "stop": stop}


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tokenizer.encode(text)) for text in texts)
