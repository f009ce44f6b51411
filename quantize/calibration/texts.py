"""`Calibration`: the tokens that calibrated rounding looks at, sampled from the checkpoint or a file's."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.progress import Progress, Silent
from smolship.quantize.cache import keep, kept, place_of
from smolship.quantize.calibrating import READ_SEQUENCES, SAMPLED_SEQUENCES
from smolship.quantize.calibration.sampling import openings, sample
from smolship.quantize.precision import name_of
from smolship.reference import Reference
from smolship.text_file import TextFile

LENGTH = 512
"""tokens of a sequence"""
SHORT = 64
"""tokens of a short window"""
FEWEST = 8
"""sequences below which the moments say more about the text than about the model"""
SEED = 0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sequences of tokens."""

    sequences: Tensor
    """int64 [n, length]"""
    precision: torch.dtype = torch.float32
    """of the products that are computed on them"""

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return self.sequences.numel()

    @property
    def digest(self) -> str:
        """The sha256 of the tokens, their arrangement and the precision."""
        array = np.ascontiguousarray(self.sequences.numpy().astype("<i8"))
        how = f"{array.shape} {name_of(self.precision)}"
        return hashlib.sha256(how.encode() + array.tobytes()).hexdigest()

    def batches(self, tokens: int) -> Iterator[Tensor]:
        """All tokens in batches [n, length] of about `tokens`: every other sequence whole, the rest as short windows.

        A window's first token takes most of the attention that goes nowhere (the sink), so what it is matters to all
        others: whole sequences begin with an opening, short windows with any token at all.
        """
        whole, rest = self.sequences[::2], self.sequences[1::2].flatten()
        short = min(SHORT, self.sequences.shape[1])
        cut = len(rest) // short * short
        for windows in (whole, rest[:cut].view(-1, short)):
            yield from windows.split(max(1, tokens // windows.shape[1]))


def sampled(
    checkpoint: Checkpoint,
    reference: Reference,
    precision: torch.dtype,
    sequences: int = SAMPLED_SEQUENCES,
    progress: Progress = Silent(),
) -> Calibration:
    """Text sampled from the checkpoint itself, kept in the cache by the checkpoint's content.

    Two thirds documents, one third conversations (a base model: documents alone). About six minutes on two cores with
    AVX2 for the 135M model and the default number of sequences.
    """
    length = min(LENGTH, checkpoint.architecture.max_positions)
    inputs = {"checkpoint": checkpoint.identity, "shape": [sequences, length], "seed": SEED}
    inputs["precision"] = name_of(precision)
    place = place_of("samples", __name__, inputs)
    if (found := kept(place)) is not None:
        return Calibration(torch.from_numpy(found["tokens"].astype(np.int64)), precision)
    begun = openings(checkpoint.tokenizer, sequences)
    tokens = sample(reference, begun, length, SEED, precision, progress)
    keep(place, {"tokens": tokens.numpy().astype(np.int32)})
    return Calibration(tokens, precision)


def from_file(
    checkpoint: Checkpoint, file: TextFile, precision: torch.dtype, sequences: int = READ_SEQUENCES
) -> Calibration:
    """The first sequences of a text; `InputError` if it has too few."""
    length = min(LENGTH, checkpoint.architecture.max_positions)
    tokens = checkpoint.tokenizer.encode(file.content)
    count = min(sequences, len(tokens) // length)
    if count < FEWEST:
        raise InputError(
            f"--calibration-text {file.name} has {len(tokens)} tokens, wanted at least {FEWEST * length}: "
            "give more text, or leave the option out to sample the checkpoint itself"
        )
    return Calibration(torch.tensor(tokens[: count * length]).view(count, length), precision)
