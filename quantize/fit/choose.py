"""A grid for each tensor within a budget: a knapsack in which every tensor takes exactly one of its grids.

Solved by dynamic programming over how many bytes a choice has above the smallest one (Kellerer, Pferschy, Pisinger,
"Knapsack Problems", 2004, chapter 11: multiple-choice knapsack). Bytes are counted in the sizes' greatest common
divisor, and the choice is then the best there is; where that makes too many units, in coarser ones, each tensor's bytes
rounded up, so that a budget holds all the same and the choice is near the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, gcd

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError

UNITS = 1 << 16
"""units that a budget is cut into at most: with 211 tensors of 6 grids half a second and 14 MB"""

Costs = Mapping[str, Mapping[str, float]]
"""the divergence that each grid of each tensor adds, nats"""

Sizes = Mapping[str, Mapping[str, int]]
"""the bytes that each grid of each tensor takes in the file"""

_ByPick = Sequence[Sequence[float]]
"""a number for each of a tensor's grids, by tensor"""


@dataclass(frozen=True)
class Choice:
    """A grid for every tensor."""

    assignment: dict[str, str]
    predicted: float
    """the sum of the tensors' costs, nats"""
    bytes: int
    """of the tensors and what is fixed"""


@dataclass(frozen=True)
class _Item:
    """One tensor's grids, each larger and better than the one before it."""

    tensor: str
    grids: tuple[str, ...]
    sizes: tuple[int, ...]
    costs: tuple[float, ...]


def choose(costs: Costs, sizes: Sizes, budget: int, fixed: int = 0) -> Choice:
    """The choice with the least summed cost whose bytes, with the `fixed` ones of the file, are at most `budget`.

    `InputError` says how small the smallest choice is if that is larger.
    """
    require_room(sizes, budget, fixed)
    items = _items(costs, sizes)
    smallest = fixed + sum(item.sizes[0] for item in items)
    room = min(budget - smallest, sum(item.sizes[-1] - item.sizes[0] for item in items))
    table = _Table(items, room)
    picks = table.picks(table.capacity)  # units that are too coarse leave bytes over
    by_size, by_cost = [item.sizes for item in items], [item.costs for item in items]
    return _choice(items, _spent(picks, by_size, by_cost, budget - fixed), fixed)


def require_room(sizes: Sizes, budget: int, fixed: int = 0) -> None:
    """`InputError` says how small the smallest choice is if that has more than `budget` bytes, the fixed ones too."""
    smallest = fixed + sum(min(of_grids.values()) for of_grids in sizes.values())
    if smallest > budget:
        raise InputError(f"no choice of grids fits in {budget:,} bytes: the smallest possible has {smallest:,} bytes")


def choose_under(costs: Costs, sizes: Sizes, limit: float, fixed: int = 0) -> Choice:
    """The smallest choice whose summed cost is at most `limit`, in nats.

    `InputError` says what the least possible divergence is, and at how many bytes, if that is larger.
    """
    items = _items(costs, sizes)
    best = _choice(items, [len(item.grids) - 1 for item in items], fixed)
    if best.predicted > limit:
        raise InputError(
            f"no choice of grids is predicted to diverge by at most {limit:.4g} nats: "
            f"the least possible is {best.predicted:.4g} nats, with {best.bytes:,} bytes"
        )
    table = _Table(items, sum(item.sizes[-1] - item.sizes[0] for item in items))
    within = table.least <= limit * (1 + 1e-12)  # falling, so the last is surely among them but for rounding
    picks = table.picks(int(within.argmax())) if within.any() else [len(item.grids) - 1 for item in items]
    by_size, by_cost = [item.sizes for item in items], [item.costs for item in items]
    return _choice(items, _spent(picks, by_cost, by_size, limit), fixed)


def _items(costs: Costs, sizes: Sizes) -> list[_Item]:
    """Every tensor's grids by size, without those that a grid of no more bytes is as good as."""
    found = []
    for tensor, of_grids in costs.items():
        kept: list[tuple[int, float, str]] = []
        for grid in sorted(of_grids, key=lambda grid: (sizes[tensor][grid], of_grids[grid])):
            if not kept or of_grids[grid] < kept[-1][1]:
                kept.append((sizes[tensor][grid], of_grids[grid], grid))
        numbers, prices, names = zip(*kept, strict=True)
        found.append(_Item(tensor, names, numbers, prices))
    return found


class _Table:
    """The least cost for every number of units above the smallest choice, and each tensor's pick there."""

    def __init__(self, items: list[_Item], room: int) -> None:
        extras = [[size - item.sizes[0] for size in item.sizes] for item in items]
        common = gcd(*(extra for of_item in extras for extra in of_item)) or 1
        unit = common * max(1, -(-room // (common * UNITS)))
        self.capacity = room // unit
        self.least: NDArray[np.float64] = np.zeros(self.capacity + 1)
        self._units = [[-(-extra // unit) for extra in of_item] for of_item in extras]
        self._picked = np.zeros((len(items), self.capacity + 1), np.int8)  # [tensors, units]
        for item, units, picked in zip(items, self._units, self._picked, strict=True):
            self.least = self._with(item, units, picked)

    def _with(self, item: _Item, units: list[int], picked: NDArray[np.int8]) -> NDArray[np.float64]:
        """The least costs once `item` is among the tensors; fills its picks."""
        least = self.least + item.costs[0]
        for pick, (more, cost) in enumerate(zip(units, item.costs, strict=True)):
            if pick and more <= self.capacity:
                tried = self.least[: self.capacity + 1 - more] + cost
                better = tried < least[more:]
                least[more:][better] = tried[better]
                picked[more:][better] = pick
        return least

    def picks(self, units: int) -> list[int]:
        """Each tensor's pick in the best choice of at most `units`."""
        found = []
        for of_item, picked in zip(reversed(self._units), reversed(self._picked), strict=True):
            found.append(int(picked[units]))
            units -= of_item[found[-1]]
        return found[::-1]


def _spent(picks: list[int], prices: _ByPick, values: _ByPick, limit: float) -> list[int]:
    """The picks once what they leave of `limit` is spent too: one tensor at a time, whatever lowers a value the most.

    The picks' `prices`, by tensor and pick like the `values`, sum to at most `limit`.
    """
    picks = list(picks)
    while True:
        room = limit - fsum(price[pick] for price, pick in zip(prices, picks, strict=True))
        gains = [
            (value[pick] - value[other], index, other)
            for index, (pick, price, value) in enumerate(zip(picks, prices, values, strict=True))
            for other in range(len(price))
            if value[other] < value[pick] and price[other] - price[pick] <= room
        ]
        if not gains:
            return picks
        _, index, other = max(gains)
        picks[index] = other


def _choice(items: list[_Item], picks: list[int], fixed: int) -> Choice:
    chosen = list(zip(items, picks, strict=True))
    return Choice(
        {item.tensor: item.grids[pick] for item, pick in chosen},
        fsum(item.costs[pick] for item, pick in chosen),
        fixed + sum(item.sizes[pick] for item, pick in chosen),
    )
