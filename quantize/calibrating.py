"""`Calibrating`: what a user decides about calibration; nothing here needs torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smolship.text_file import TextFile

SAMPLED_SEQUENCES = 128
"""sequences that the checkpoint writes: 65,536 tokens where it takes 512 at once"""
READ_SEQUENCES = 256
"""sequences of a given text, which costs no sampling: twice the tokens are worth 8 to 11 % (docs/quantisation.md)"""


@dataclass(frozen=True)
class Calibrating:
    """Where the calibration text comes from, how much of it, and on which texts the stages are compared."""

    text: TextFile | None = None
    """`None` samples the checkpoint itself"""
    at_most: int | None = None
    """sequences; `None` is as many as that kind of text is worth"""
    watch: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """windows of token ids by the text's name, each text's equally long; none of it is calibrated on"""

    @property
    def sequences(self) -> int:
        """How many sequences are sampled, or how many of the text are read if it has them."""
        if self.at_most is not None:
            return self.at_most
        return SAMPLED_SEQUENCES if self.text is None else READ_SEQUENCES

    def described(self, checkpoint: str, precision: str) -> str:
        """The calibration in words: its text, and the precision of the products that are computed on it."""
        if self.text is None:
            text = f"{self.sequences} sequences sampled from {checkpoint} itself"
        else:
            text = f"up to {self.sequences} sequences of {self.text.name} (sha256 {self.text.sha256[:16]})"
        return f"{text}, products in {precision}"


SAMPLED = Calibrating()
"""what calibration does if nobody says anything"""
