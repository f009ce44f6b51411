"""The job that a probe is sent: which steps, with which tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.artefact import Manifest
from smolship.checkpoint import Outline, Tokenizer
from smolship.errors import InputError
from smolship.runtime_checks.prompts import TEXTS, Conversation, Question, conversations, questions
from smolship.runtime_checks.runtimes import runtime_of
from smolship.runtime_checks.windows import Windows

Step = dict[str, Any]
LONGEST_ANSWER = 48
FILES_AT_ONCE = 2
PATIENCE = 120.0
"""seconds the probe waits for its logits to be taken away"""


@dataclass(frozen=True)
class Workload:
    """How much a job asks besides fidelity."""

    prefill: tuple[int, ...] = (64, 512)
    """prompts' lengths"""
    first: int = 64
    """tokens of the prompt whose first answering token is timed, and after which tokens are decoded"""
    decode: int = 128
    sustained: float = 0.0
    """seconds of decoding without a pause"""
    questions: int | None = None
    """how many of the prompts with a known answer; all of them, if `None`"""


FULL = Workload()
"""what `check` asks of this host"""
ON_DEVICE = Workload(sustained=60.0)
BRIEF = Workload(prefill=(16,), first=16, decode=8, questions=1)
"""for a device that is very slow, an emulated one above all"""
SLICE = 5.0
"""seconds of one rate of the sustained run"""


@dataclass(frozen=True)
class Asked:
    """What the job asks besides speed, with the reference tokenizer's ids: the answers are held against it."""

    questions: tuple[Question, ...]
    texts: tuple[str, ...]
    text_ids: tuple[tuple[int, ...], ...]
    conversations: tuple[Conversation, ...]
    rendered: tuple[str, ...]
    rendered_ids: tuple[tuple[int, ...], ...]


def questions_for(tokenizer: Tokenizer, count: int | None = None) -> Asked:
    """Everything of `prompts`, of the questions the first `count`, as this checkpoint's own tokenizer spells it."""
    chats = conversations(tokenizer)
    rendered = tuple(tokenizer.render_chat(chat.messages) for chat in chats)
    return Asked(
        questions(tokenizer)[:count], TEXTS, _ids(tokenizer, TEXTS), chats, rendered, _ids(tokenizer, rendered)
    )


def steps_for(
    *,
    context: int,
    repeats: int,
    asked: Asked,
    windows: Windows,
    checkpoint: Outline,
    workload: Workload = FULL,
    fidelity: Step | None = None,
) -> list[Step]:
    """All steps of a check: speed and memory first, before anything else raises the peak; then answers, tokens, logits.

    `fidelity` is the step that tells of logits: by default every position's, as files for whoever takes them away.
    `InputError` if the artefact's context cannot hold a window of the text.
    """
    if windows.text.length > context:
        raise InputError(
            f"windows of {windows.text.length} tokens do not fit an artefact made for {context}: take shorter windows"
        )
    return [
        *speed_steps([token for window in windows.tokens for token in window], context, repeats, workload),
        *(_generate(question, checkpoint, context) for question in asked.questions),
        {"step": "tokenize", "name": "texts", "texts": list(asked.texts)},
        {"step": "tokenize", "name": "chats", "texts": list(asked.rendered)},
        fidelity or logits_step(windows),
    ]


def job_of(steps: Sequence[Step], manifest: Manifest, *, threads: int) -> dict[str, Any]:
    """A job of these steps with an artefact, on the runtime of its format."""
    return {
        "backend": runtime_of(manifest).backend,
        "model": manifest.model_file,
        "context": manifest.context,
        "threads": threads,
        "watch_stdin": True,
        "steps": list(steps),
    }


def logits_step(windows: Windows) -> Step:
    """Every logit of the windows."""
    return {
        "step": "windows",
        "windows": [list(window) for window in windows.tokens],
        "keep": FILES_AT_ONCE,
        "patience": PATIENCE,
    }


def likelihoods_step(windows: Windows, ids: Sequence[NDArray[np.int64]]) -> Step:
    """The probabilities of chosen tokens, int64 [n, k] for each of the windows, and of all others as one."""
    return {
        "step": "likelihoods",
        "windows": [list(window) for window in windows.tokens],
        "ids": [each.tolist() for each in ids],
    }


def another_way_step(way: str, length: int, windows: Windows, ids: Sequence[NDArray[np.int64]]) -> Step:
    """The same of the first window's beginning, got in another way of `probe.likelihoods.WAYS`."""
    tokens, asked = list(windows.tokens[0][:length]), ids[0][:length].tolist()
    return {"step": "likelihoods", "windows": [tokens], "ids": [asked], "way": way}


def speed_steps(tokens: Sequence[int], context: int, repeats: int, workload: Workload = FULL) -> list[Step]:
    """The steps that time, with prompts of these tokens, and the one that ends the watching of memory."""
    tokens = list(tokens[: max(workload.prefill)])
    lengths = [length for length in workload.prefill if length <= min(context, len(tokens))]
    first = min(workload.first, len(tokens), context // 2)
    decode = min(workload.decode, context - first - 1)
    speed = {"tokens": tokens, "prefill": lengths, "first": first, "decode": decode, "repeats": repeats}
    steps: list[Step] = [{"step": "speed", **speed}, {"step": "memory"}]
    if workload.sustained:
        prompt = tokens[:first]
        sustained = {"seconds": workload.sustained, "slice": SLICE, "tokens": prompt, "room": context}
        steps.append({"step": "sustained", **sustained})
    return steps


def _generate(question: Question, checkpoint: Outline, context: int) -> Step:
    tokens, stop = checkpoint.tokenizer.encode(question.prompt), list(checkpoint.architecture.end_ids)
    room = min(LONGEST_ANSWER, context - len(tokens) - 1)
    return {"step": "generate", "name": question.name, "tokens": tokens, "max_new": max(room, 1), "stop": stop}


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tokenizer.encode(text)) for text in texts)
