"""`Change`: what an adapter does to one tensor of its base."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LowRank:
    """`scaling · left · right`, added to a weight [out, in]; DoRA scales the sum's rows, an embedding's columns."""

    left: str
    """stored name: [out, r], of an embedding its transpose"""
    right: str
    """stored name: [r, in], of an embedding its transpose"""
    transposed: bool
    scaling: float
    magnitude: str | None


@dataclass(frozen=True)
class Change:
    """What becomes of one tensor of the base, in this order."""

    whole: str | None = None
    """the stored tensor that takes its place"""
    copies: tuple[str, ...] = ()
    """others that say they are the same"""
    rows: str | None = None
    """stored rows that take the places of those at `indices`"""
    indices: tuple[int, ...] = ()
    low_rank: LowRank | None = None
