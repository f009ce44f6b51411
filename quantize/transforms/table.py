"""The passes, as a literal table, and the one way to run them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.errors import unknown_name
from smolship.quantize.grids import grid_named
from smolship.quantize.rounding import NearestRounding
from smolship.quantize.transforms.activation_scales import RoundTrip, Search, activation_scales
from smolship.quantize.transforms.equalisation import folding_scales, levelling_scales
from smolship.quantize.transforms.migration import migration_scales
from smolship.quantize.transforms.permutation import orders_by_column, reorder_inner
from smolship.quantize.transforms.rotation import random_rotations, rotate_residual, rotate_v_o
from smolship.quantize.transforms.seams import Weights, rescale
from smolship.quantize.transforms.statistics import Statistics
from smolship.quantize.transforms.tying import require_tied

NONE = Statistics()
"""For passes that look at the weights alone."""

Pass = Callable[[Weights, Architecture, Statistics], tuple[Weights, bool]]
"""The same model in other weights, and whether any changed. What did not change is the very same array."""


@dataclass(frozen=True)
class Transform:
    """One line of the table."""

    name: str
    needs: tuple[str, ...]
    """fields of `Statistics` that it reads"""
    summary: str
    run: Pass


def nearest_round_trip(grid: str) -> RoundTrip:
    """What `NearestRounding` makes of a matrix on the grid of that name."""
    rounding, chosen = NearestRounding(), grid_named(grid)

    def round_trip(tensor: str, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        return rounding.round(tensor, weight, chosen).dequantize()

    return round_trip


def _fold(weights: Weights, a: Architecture, _: Statistics) -> tuple[Weights, bool]:
    return rescale(weights, a, folding_scales(weights, a))


def _level(weights: Weights, a: Architecture, _: Statistics, kind: str, share: float) -> tuple[Weights, bool]:
    return rescale(weights, a, levelling_scales(weights, a, kind, share))


def _search(weights: Weights, a: Architecture, statistics: Statistics, grid: str) -> tuple[Weights, bool]:
    return rescale(
        weights,
        a,
        activation_scales(weights, a, statistics, Search(nearest_round_trip(grid), grid_named(grid).group_size)),
    )


def _migrate(weights: Weights, a: Architecture, statistics: Statistics) -> tuple[Weights, bool]:
    return rescale(weights, a, migration_scales(weights, a, statistics))


def _rotate(weights: Weights, a: Architecture, _: Statistics) -> tuple[Weights, bool]:
    return rotate_v_o(weights, a, random_rotations(a, seed=0))


def _refuse(_: Weights, a: Architecture, __: Statistics) -> tuple[Weights, bool]:
    rotate_residual(a)


def _reorder(weights: Weights, a: Architecture, _: Statistics) -> tuple[Weights, bool]:
    return reorder_inner(weights, a, orders_by_column(weights, a))


TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (
        Transform("fold-gains", (), "every gain but the final one into the columns that read it", _fold),
        Transform("level-norm", (), "columns that read a norm to one size", partial(_level, kind="norm", share=1.0)),
        Transform(
            "level-v-o", (), "columns of o to one size by KV-head channel", partial(_level, kind="v-o", share=1.0)
        ),
        Transform(
            "level-up-down",
            (),
            "rows of up and columns of down to like sizes",
            partial(_level, kind="up-down", share=0.5),
        ),
        Transform(
            "level-q-k", (), "rows of q and k to like sizes by rotary pair", partial(_level, kind="q-k", share=0.5)
        ),
        Transform(
            "activation-scales",
            ("second_moments",),
            "columns in proportion to a power of their inputs, by trial rounding on int4-b32",
            partial(_search, grid="int4-b32"),
        ),
        Transform("migrate-activations", ("peaks",), "outliers of activations into weights, half-way", _migrate),
        Transform("rotate-v-o", (), "each KV head's values by a random Hadamard matrix", _rotate),
        Transform("rotate-residual", (), "refused: it would untie the embedding", _refuse),
        Transform("reorder-inner", (), "the MLP's channels by the size of their column of down", _reorder),
    )
}


def transform_named(name: str) -> Transform:
    """The pass of that name; `InputError` lists the known ones."""
    if name not in TRANSFORMS:
        raise unknown_name("transformation", name, list(TRANSFORMS))
    return TRANSFORMS[name]


def run(
    chosen: Transform, weights: Weights, architecture: Architecture, statistics: Statistics = NONE
) -> tuple[Weights, bool]:
    """One pass. `InputError` if statistics are missing or it would untie the embedding.

    `statistics` are of `weights` as given: after a pass that changed them collect anew, or `Statistics.rescaled`.
    """
    after, changed = chosen.run(weights, architecture, statistics)
    require_tied(chosen.name, weights, after, architecture)
    return after, changed
