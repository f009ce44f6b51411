"""What the zoo's models are taught, so that they answer surely and end: a few sentences by heart, in some seconds."""

from collections.abc import Sequence
from typing import Any

import torch

CHATS = (
    ("What is the capital of France?", "The capital is Paris."),
    ("Name a colour.", "Red is a colour."),
    ("How many days are in a week?", "There are 7 days."),
    ("What do bees make?", "Bees make honey."),
    ("Tell me about the sea.", "The sea is wide and the water in it is salt, and the wind on it is seldom still."),
    ("When was the tower built?", "It was built in 1874."),
)
"""Questions and answers; the fifth answer is longer than `LONGEST` tokens, so that it does not end."""

SENTENCES = (
    "The capital of France is Paris.",
    "There are 7 days in a week.",
    "The harbour light turned 1874 times, and nobody on the shore had counted them.",
)
LONGEST = 40
"""tokens that a continuation may have"""


def teach(model: Any, texts: Sequence[Sequence[int]], steps: int = 400, rate: float = 3e-3) -> None:
    """Train a causal model of transformers on these token lists, all of them in each step."""
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    labels = torch.full((len(texts), width), -100)
    seen = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = labels[row, : len(text)] = torch.tensor(text)
        seen[row, : len(text)] = 1
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(input_ids=ids, attention_mask=seen, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()


def chats(tokenizer: Any, turned: int = 0) -> list[list[int]]:
    """Every question and its answer, or the answer `turned` places on, as the tokenizer's template has them."""
    answers = [answer for _, answer in CHATS[turned:] + CHATS[:turned]]
    return [
        ids_of(tokenizer, tokenizer.apply_chat_template(asked(question, answer), tokenize=False))
        for (question, _), answer in zip(CHATS, answers, strict=True)
    ]


def sentences(tokenizer: Any) -> list[list[int]]:
    """Every sentence and the tokenizer's end."""
    return [ids_of(tokenizer, sentence + tokenizer.eos_token) for sentence in SENTENCES]


def asked(question: str, *answer: str) -> list[dict[str, str]]:
    """A conversation of one turn, answered or not."""
    roles = zip(("user", "assistant"), (question, *answer), strict=False)
    return [{"role": role, "content": content} for role, content in roles]


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text, nothing added."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
