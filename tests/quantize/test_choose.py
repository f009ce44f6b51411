"""Choosing grids: the best there is on small cases, next to the bound on large ones, never above what was asked for."""

from itertools import product
from math import fsum

import numpy as np
import pytest

from smolship.errors import InputError
from smolship.quantize.fit import Choice, choose, choose_under

Table = dict[str, dict[str, float]]
Bytes = dict[str, dict[str, int]]


def case(seed: int, tensors: int, grids: int, unit: int) -> tuple[Table, Bytes]:
    """Random tensors whose larger grids mostly cost less."""
    random = np.random.default_rng(seed)
    costs: Table = {}
    sizes: Bytes = {}
    for tensor in range(tensors):
        steps = np.cumsum(random.integers(1, 400, grids))
        weights = np.exp(random.normal(0, 1.5)) * np.exp(-1.2 * np.arange(grids)) * random.uniform(0.6, 1.4, grids)
        sizes[f"t{tensor}"] = {f"g{i}": int(unit * step) for i, step in enumerate(steps)}
        costs[f"t{tensor}"] = {f"g{i}": float(weight) for i, weight in enumerate(weights)}
    return costs, sizes


def every(costs: Table, sizes: Bytes) -> list[tuple[int, float]]:
    """The bytes and the cost of each choice there is."""
    return [
        (
            sum(sizes[tensor][grid] for tensor, grid in zip(costs, grids, strict=True)),
            fsum(costs[tensor][grid] for tensor, grid in zip(costs, grids, strict=True)),
        )
        for grids in product(*costs.values())
    ]


def budget_at(sizes: Bytes, share: float) -> int:
    low, high = (sum(of(grids.values()) for grids in sizes.values()) for of in (min, max))
    return int(low + share * (high - low))


def bound(costs: Table, sizes: Bytes, budget: int) -> float:
    """What no choice within the budget can cost less than: the Lagrangian at its best multiplier."""
    c, b = (np.array([list(of.values()) for of in table.values()]) for table in (costs, sizes))  # [tensors, grids]
    return max(float((c + price * b).min(axis=1).sum() - price * budget) for price in np.geomspace(1e-12, 1.0, 1500))


def holds(choice: Choice, costs: Table, sizes: Bytes, fixed: int = 0) -> bool:
    """Whether a choice is of every tensor and adds up."""
    chosen = choice.assignment.items()
    return (
        list(choice.assignment) == list(costs)
        and choice.bytes == fixed + sum(sizes[tensor][grid] for tensor, grid in chosen)
        and choice.predicted == fsum(costs[tensor][grid] for tensor, grid in chosen)
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.93, 1.0, 2.0])
def test_no_choice_within_the_budget_is_better(seed: int, share: float) -> None:
    costs, sizes = case(seed, tensors=6, grids=4, unit=32)
    budget = budget_at(sizes, share)
    choice = choose(costs, sizes, budget)
    assert holds(choice, costs, sizes)
    assert choice.bytes <= budget
    assert choice.predicted == pytest.approx(min(cost for size, cost in every(costs, sizes) if size <= budget))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_no_choice_under_the_divergence_is_smaller(seed: int, share: float) -> None:
    costs, sizes = case(seed, tensors=6, grids=4, unit=32)
    found = every(costs, sizes)
    least, most = min(cost for _, cost in found), max(cost for _, cost in found)
    limit = least + share * (most - least)
    choice = choose_under(costs, sizes, limit)
    assert holds(choice, costs, sizes)
    assert choice.predicted <= limit
    assert choice.bytes == min(size for size, cost in found if cost <= limit)


@pytest.mark.parametrize("odd", [0, 1], ids=["few units", "no common divisor"])
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_a_model_s_worth_of_tensors_is_next_to_the_bound(odd: int, share: float) -> None:
    costs, sizes = case(7, tensors=211, grids=6, unit=977)
    sizes = {t: {g: size + odd * int(g[1]) for g, size in of.items()} for t, of in sizes.items()}
    budget = budget_at(sizes, share)
    choice = choose(costs, sizes, budget)
    assert choice.bytes <= budget
    assert bound(costs, sizes, budget) <= choice.predicted < 1.003 * bound(costs, sizes, budget)


def test_the_smallest_under_a_divergence_is_the_best_of_its_size() -> None:
    costs, sizes = case(3, tensors=211, grids=6, unit=4096)
    choice = choose(costs, sizes, budget_at(sizes, 0.2))
    back = choose_under(costs, sizes, choice.predicted)
    assert back.predicted <= choice.predicted
    assert back.bytes <= choice.bytes


def test_what_is_fixed_counts_to_the_byte() -> None:
    costs, sizes = case(1, tensors=5, grids=3, unit=32)
    smallest = budget_at(sizes, 0.0)
    choice = choose(costs, sizes, smallest + 1000, fixed=1000)
    assert holds(choice, costs, sizes, fixed=1000)
    assert choice.bytes == smallest + 1000
    with pytest.raises(InputError, match=f"the smallest possible has {smallest + 1000:,} bytes"):
        choose(costs, sizes, smallest + 999, fixed=1000)


def test_a_divergence_that_no_choice_reaches_names_the_least() -> None:
    costs = {"a": {"small": 0.5, "large": 0.25}}
    sizes = {"a": {"small": 10, "large": 20}}
    assert choose_under(costs, sizes, 0.25).assignment == {"a": "large"}
    with pytest.raises(InputError, match=r"the least possible is 0\.25 nats, with 120 bytes"):
        choose_under(costs, sizes, 0.2, fixed=100)


def test_a_grid_that_is_larger_and_no_better_is_never_taken() -> None:
    costs = {"a": {"worse": 0.3, "better": 0.2, "larger": 0.2, "largest": 0.4}}
    sizes = {"a": {"worse": 10, "better": 10, "larger": 11, "largest": 12}}
    for budget in (10, 11, 12, 99):
        assert choose(costs, sizes, budget).assignment == {"a": "better"}
    assert choose_under(costs, sizes, 1.0).assignment == {"a": "better"}
