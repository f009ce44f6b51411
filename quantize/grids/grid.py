"""`Grid`: which codes a weight may have, what each stands for, and what the file stores beside them."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from smolship.errors import InputError
from smolship.quantize.grids.scales import ScaleFormat


class Offset(Enum):
    """What a group adds to `scale · level`."""

    NONE = "none"
    MINIMUM = "minimum"
    """a number of its own, a float16 (below a super-block: a small integer times a float16, never positive)"""
    ZERO_POINT = "zero point"
    """`-zero_point · scale`, the zero point an integer among the codes"""


@dataclass(frozen=True)
class Grid:
    """`weight ≈ scale · level(code) + minimum`: codes in [low, high], a scale (and minimum) per group of a row.

    The code of a symmetric grid is the signed integer itself; an affine grid's runs from 0 to 2^bits - 1, and a
    non-linear grid's is the index of its level.
    """

    name: str
    bits: int
    low: int
    high: int
    group_size: int | None
    """codes that share a scale along a row; `None` is the whole row"""
    scale_format: ScaleFormat
    """of the scales; with super-blocks, of the super-scales"""
    note: str
    offset: Offset = Offset.NONE
    uneven_levels: tuple[int, ...] = ()
    """what each code stands for where that is not the code itself, ascending"""
    super_group: int | None = None
    """weights of a super-block: its groups' scales are integers times its one float16 super-scale"""
    factor_low: int = 0
    """the smallest such integer"""
    factor_high: int = 0
    """the largest; minimums have factors from 0 to it"""

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """What the codes from `low` to `high` stand for, ascending."""
        return self.uneven_levels or tuple(range(self.low, self.high + 1))

    @property
    def affine(self) -> bool:
        """Whether groups have minimums."""
        return self.offset is not Offset.NONE

    @property
    def signed_scales(self) -> bool:
        """Whether a negative scale can be stored and reaches what a positive one does not."""
        lopsided = self.levels[0] != -self.levels[-1]
        return self.scale_format is ScaleFormat.FLOAT16 and not self.affine and lopsided

    def group_of(self, tensor: str, row: int) -> int:
        """The group size on rows of `row` weights; `InputError` names the tensor if it or the super-block does not
        divide them.
        """
        if self.group_size is None:
            return row
        whole, what = (self.super_group, "super-blocks") if self.super_group else (self.group_size, "groups")
        if row % whole:
            raise InputError(
                f"{tensor}: rows of {row} weights cannot be cut into the {what} of {whole} that grid {self.name} "
                f"needs; choose a recipe whose {what} divide {row}"
            )
        return self.group_size

    def bits_per_weight(self, row: int) -> float:
        """What a file stores for each weight of a row: codes, scales in the narrowest type that holds them, offsets."""
        group = self.group_size or row
        scale_bits = 32 if self.scale_format is ScaleFormat.FLOAT32 else 16
        if self.super_group:
            factor_bits = (self.factor_high - self.factor_low).bit_length()
            kinds = 2 if self.affine else 1  # scales, and minimums with as many bits
            return self.bits + kinds * (factor_bits / group + scale_bits / self.super_group)
        if self.offset is Offset.ZERO_POINT:
            zero_points = (row // group * self.bits + 7) // 8 * 8  # whole bytes a row
            return self.bits + scale_bits / group + zero_points / row
        return self.bits + (scale_bits + (16 if self.affine else 0)) / group
