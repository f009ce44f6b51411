"""`Calibrating`: what a user decides about calibration; nothing here needs torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smolship.text_file import TextFile

SEQUENCES = 128
"""sequences of calibration text: 65,536 tokens where the model takes 512 at once"""


@dataclass(frozen=True)
class Calibrating:
    """Where the calibration text comes from, how much of it, and on which texts the stages are compared."""

    text: TextFile | None = None
    """`None` samples the checkpoint itself"""
    sequences: int = SEQUENCES
    watch: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """windows of token ids by the text's name, each text's equally long; none of it is calibrated on"""

    def described(self, checkpoint: str) -> str:
        """The calibration text in words."""
        if self.text is None:
            return f"{self.sequences} sequences sampled from {checkpoint} itself"
        return f"{self.sequences} sequences of {self.text.name} (sha256 {self.text.sha256[:16]})"


SAMPLED = Calibrating()
"""what calibration does if nobody says anything"""
