"""`Calibrating`: what a user decides about calibration; nothing here needs torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smolship.errors import InputError

SEQUENCES = 128
"""sequences of calibration text: 65,536 tokens where the model takes 512 at once"""


@dataclass(frozen=True)
class Calibrating:
    """Where the calibration text comes from, how much of it, and on which texts the stages are compared."""

    text: Path | None = None
    """a UTF-8 file; `None` samples the checkpoint itself"""
    sequences: int = SEQUENCES
    watch: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """windows of token ids by the text's name, each text's equally long; none of it is calibrated on"""

    def described(self, checkpoint: str) -> str:
        """The calibration text in words; `InputError` if a file cannot be read."""
        if self.text is None:
            return f"{self.sequences} sequences sampled from {checkpoint} itself"
        try:
            digest = hashlib.sha256(self.text.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"--calibration-text {self.text}: {error.strerror}; give a UTF-8 text file") from error
        return f"{self.sequences} sequences of {self.text.name} (sha256 {digest[:16]})"


SAMPLED = Calibrating()
"""what calibration does if nobody says anything"""
