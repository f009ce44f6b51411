"""What the probe asks of a runtime: one class `Backend` in each `backend_<format>.py`."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


class Backend(Protocol):
    """A loaded artefact with one sequence's KV cache."""

    versions: dict[str, str]

    def prefill(self, tokens: list[int]) -> Logits:
        """Forget everything, process the tokens from position 0; float32 [vocab], logits of the last one."""
        ...

    def decode(self, token: int) -> Logits:
        """Process one more token with the KV cache; float32 [vocab]."""
        ...

    def window(self, tokens: list[int]) -> Iterator[Logits]:
        """Process from position 0; yields float32 [n, vocab] in order, one row a position."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """The runtime's own tokenizer on the artefact's own files; special tokens are parsed, none added."""
        ...

    def detokenize(self, tokens: list[int]) -> bytes:
        """The bytes that the tokens stand for, special tokens spelled out."""
        ...


def import_backend(module: str) -> type[Any]:
    """Import the runtime by importing its backend module; returns the `Backend` class."""
    if not module.startswith("backend_") or not module.isidentifier():
        raise ValueError(f"{module!r} is no backend module of this probe")
    return cast(type[Any], import_module(f".{module}", __package__).Backend)
