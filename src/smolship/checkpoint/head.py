"""Whether the head is the embedding: what a checkpoint says of that, against the matrices that it holds.

What transformers 5 does (`tie_weights` in modeling_utils.py): where both matrices are in the file and differ, it does
not tie them, whatever the config says; a tied model's matrix may be there under either name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError

_ROWS = 1024
"""rows that are compared at once, 8 MB of either matrix for the 1.7B model"""


@dataclass(frozen=True)
class Matrix:
    """An embedding or a head as it lies in a file."""

    name: str
    """as the file calls it"""
    shape: tuple[int, ...]
    rows: Callable[[slice], NDArray[np.float32]]
    """some of its rows, read from the file alone"""

    def same_as(self, other: "Matrix") -> bool:
        """Whether every number is the same; few rows of either are in memory at once."""
        if not self.shape or self.shape != other.shape:
            return False
        parts = (slice(start, start + _ROWS) for start in range(0, self.shape[0], _ROWS))
        return all(np.array_equal(self.rows(part), other.rows(part)) for part in parts)


def decide_tie(said: bool, says: str, embedding: Matrix, head: Matrix | None) -> tuple[bool, tuple[str, ...]]:
    """Whether both are one matrix, and a sentence where that is not what was `said`; `says` is that in words.

    `InputError` if they are said to be two and there is no head: transformers would make one up at random.
    """
    if head is None:
        if not said:
            raise untied_without_head(says)
        return True, ()
    if embedding.same_as(head):
        one = f"{says}, but {head.name} holds the same numbers as {embedding.name}: both are kept as one matrix"
        return True, () if said else (one,)
    two = f"{says}, but {head.name} differs from {embedding.name}: they are two matrices, as transformers 5 takes them"
    return False, (two,) if said else ()


def untied_without_head(says: str) -> InputError:
    """The error of a checkpoint that is said to be untied and has no head."""
    return InputError(
        f"{says}, and the weights hold no lm_head.weight, which transformers would make up at random: add "
        '"tie_word_embeddings": true if the head is the embedding, as in every SmolLM2, or give the weights with it'
    )
