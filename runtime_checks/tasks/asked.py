"""Multiple-choice questions as steps of the probe, and their accuracy beside the reference's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import Tokenizer
from smolship.errors import InputError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.job import Step
from smolship.runtime_checks.likelihoods import Likelihoods
from smolship.runtime_checks.measurements import TaskScore
from smolship.runtime_checks.tasks.likelihoods import Runner, log_likelihoods
from smolship.runtime_checks.tasks.paired import difference
from smolship.runtime_checks.tasks.rows import Continuation, Row, continuations, read_rows
from smolship.runtime_checks.tasks.scores import Float64, values


@dataclass(frozen=True)
class Task:
    """The questions of one file, each choice as token ids."""

    name: str
    sha256: str
    rows: tuple[Row, ...]
    choices: tuple[tuple[Continuation, ...], ...]
    """of each row"""

    @property
    def sequences(self) -> list[Continuation]:
        """Every choice of every row, in order."""
        return [one for row in self.choices for one in row]


@dataclass(frozen=True)
class AskedTask:
    """A task, and which rows the reference gets right: float64 [rows], 1 or 0."""

    task: Task
    reference: Float64


def read_task(path: Path, tokenizer: Tokenizer, context: int, limit: int | None = None) -> Task:
    """The first `limit` rows of a file of questions, or all; `InputError` as `read_rows`, and for one that is too long.

    A sequence must fit into `context` tokens.
    """
    rows = tuple(read_rows(path, limit))
    choices = tuple(continuations(tokenizer, row) for row in rows)
    for row, of_row in zip(rows, choices, strict=True):
        longest = max(len(one.tokens) for one in of_row)
        if longest > context:
            raise InputError(f"{path}, row {row.id}: {longest} tokens do not fit an artefact made for {context}")
    return Task(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), rows, choices)


def ask_reference(runner: Runner, task: Task, progress: Progress = Silent()) -> AskedTask:
    """The reference's own answers."""
    scores = []
    with progress.task(f"Reference on {task.name}", len(task.rows)) as advance:
        for of_row in task.choices:
            scores.append(log_likelihoods(runner, of_row))
            advance(1)
    return AskedTask(task, values(task.rows, scores).right)


def task_step(task: Task) -> Step:
    """The probe's step `likelihoods` that asks every sequence for the probability of each of its next tokens."""
    sequences = task.sequences
    return {
        "step": "likelihoods",
        "windows": [list(one.tokens[:-1]) for one in sequences],  # the last token predicts nothing that is asked
        "ids": [[[token] for token in one.tokens[1:]] for one in sequences],
    }


def ids_of(task: Task) -> list[NDArray[np.int64]]:
    """The ids of that step: int64 [n, 1] for each sequence."""
    return [np.asarray(one.tokens[1:], np.int64)[:, None] for one in task.sequences]


def score_of(asked: AskedTask, told: Sequence[Likelihoods]) -> TaskScore:
    """Accuracy from what the probe told of every sequence, in order."""
    task = asked.task
    sums = iter(
        [float(found.chosen[one.start - 1 :, 0].sum()) for one, found in zip(task.sequences, told, strict=True)]
    )
    scores = [tuple(next(sums) for _ in of_row) for of_row in task.choices]
    right = values(task.rows, scores).right
    return TaskScore(
        name=task.name,
        sha256=task.sha256,
        rows=len(task.rows),
        accuracy=float(right.mean()),
        reference_accuracy=float(asked.reference.mean()),
        error=difference(right, asked.reference).error,
    )
