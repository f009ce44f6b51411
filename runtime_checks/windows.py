"""The evaluation text as token windows, and what the reference says at every position of them."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import Tokenizer
from smolship.errors import InputError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.fidelity import log_softmax
from smolship.runtime_checks.measurements import TextUsed
from smolship.runtime_checks.texts import text_for

COUNT, LENGTH = 8, 512
"""4,096 tokens"""


class Forward(Protocol):
    """What is asked of the reference: `smolship.reference.Reference` is one."""

    def logits(self, tokens: Sequence[int]) -> Any:
        """Float32 [n, vocab], an array or a torch tensor."""
        ...


@dataclass(frozen=True)
class Windows:
    """Equally long runs of consecutive tokens of one text."""

    tokens: tuple[tuple[int, ...], ...]
    text: TextUsed


@dataclass(frozen=True)
class ReferenceWindows:
    """Windows with the reference's log-probabilities: one memory-mapped float32 [length, vocab] for each."""

    windows: Windows
    log_probabilities: tuple[NDArray[np.float32], ...]
    described: str
    """the reference in words"""


def windows(tokenizer: Tokenizer, text: str | Path = "prose", *, count: int = COUNT, length: int = LENGTH) -> Windows:
    """The first `count` windows of `length` tokens of a text: a kind of `texts.KINDS`, or a file.

    The project's own texts give as many windows as they have, a file all of them: `InputError` if it cannot be read or
    has too few tokens.
    """
    chosen = text_for(tokenizer, text)
    tokens = tokenizer.encode(chosen.content)
    if chosen.own:
        count = max(1, min(count, len(tokens) // length))
    if len(tokens) < count * length:
        raise InputError(
            f"{chosen.name} has {len(tokens)} tokens; {count} windows of {length} need {count * length}: "
            "give a longer --text"
        )
    digest = hashlib.sha256(chosen.content.encode()).hexdigest()
    parts = tuple(tuple(tokens[i * length : (i + 1) * length]) for i in range(count))
    return Windows(parts, TextUsed(name=chosen.name, sha256=digest, windows=count, length=length))


@contextmanager
def reference_windows(
    load: Callable[[], Forward], windows: Windows, described: str, progress: Progress = Silent()
) -> Iterator[ReferenceWindows]:
    """Load the reference, run it once over every window and let it go: a probe then has the memory to itself.

    Its log-probabilities lie in a temporary folder while this is open. `InputError` if they hold what is not finite,
    or if the disk has no room for them.
    """
    with tempfile.TemporaryDirectory(prefix="smolship-reference-") as folder:
        stored = []
        reference = load()
        with progress.task("Reference over the evaluation text", len(windows.tokens)) as advance:
            for index, tokens in enumerate(windows.tokens):
                logits = np.asarray(reference.logits(tokens), dtype=np.float32)
                if not np.isfinite(logits).all():
                    raise InputError(
                        "the checkpoint's own logits are not finite: its weights are damaged, get it again"
                    )
                path = Path(folder) / f"{index}.npy"
                _save(path, log_softmax(logits))
                stored.append(np.load(path, mmap_mode="r"))
                advance(1)
        del reference, logits
        yield ReferenceWindows(windows, tuple(stored), described)


def _save(path: Path, array: NDArray[np.float32]) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise InputError(
            f"no room for {array.nbytes >> 20} MiB of reference logits in {path.parent} ({error}): "
            "free some, or set TMPDIR to a folder on a larger disk"
        ) from error
