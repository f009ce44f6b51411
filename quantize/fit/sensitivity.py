"""What each grid of each tensor costs: the KL divergence that it adds, in nats.

Estimated for every grid from the curvature, `½·Σ e A eᵀ` over the rows e of the rounding error (to second order, in
K-FAC's form: `calibration.curvature`), and measured for one: the model with that tensor alone rounded, against the
model as it is. What is measured over what was estimated then corrects the tensor's estimates on every other grid. To
second order, and for errors that do not correlate, the divergences of tensors add up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from torch import Tensor

from smolship.errors import SmolshipError
from smolship.progress import Progress, Silent
from smolship.quantize.calibration.curvature import divergence
from smolship.quantize.fit.trials import Trials

_LAYERS = "model.layers."

Rounds = Callable[[str, str], Tensor]
"""a tensor and a grid to the rounded weight, float32 [out, in]"""


@dataclass(frozen=True)
class Sensitivities:
    """The divergence that each grid of each tensor adds, nats, and where that is from."""

    costs: dict[str, dict[str, float]]
    """by tensor and grid: the estimates times the tensor's ratio"""
    estimates: dict[str, dict[str, float]]
    ratios: dict[str, float]
    """measured over estimated, by tensor; of a tensor that was not measured, the median of its kind"""


def sensitivities(
    trials: Trials,
    moments: Mapping[str, Tensor],
    grids: Mapping[str, Sequence[str]],
    rounds: Rounds,
    measure: Callable[[str], bool] = lambda _: True,
    progress: Progress = Silent(),
) -> Sensitivities:
    """The cost of every one of `grids` (by tensor), one forward for each tensor that `measure` names.

    `moments` are float32 [in, in] per token. Each tensor is measured on its first grid: put the coarsest there, whose
    divergence stands out the most. `SmolshipError` names a tensor whose estimate is not finite.
    """
    weights = trials.reference.weights
    estimates: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    with progress.task("measure sensitivities", len(grids)) as advance:
        for tensor, names in grids.items():
            estimates[tensor] = {}
            for index, grid in enumerate(names):
                rounded = rounds(tensor, grid)
                found = divergence(rounded - weights[tensor], moments[tensor])
                if not isfinite(found):
                    raise SmolshipError(f"{tensor}: its estimated divergence on {grid} is {found}")
                estimates[tensor][grid] = max(found, 0.0)
                if index == 0 and found > 0 and measure(tensor):
                    ratios[tensor] = trials.divergence({tensor: rounded}) / found
            advance(1)
    return corrected(estimates, ratios)


def corrected(estimates: Mapping[str, Mapping[str, float]], ratios: Mapping[str, float]) -> Sensitivities:
    """Estimates times ratios; a tensor without one takes its kind's median, a kind without any the median of all."""
    kinds: dict[str, list[float]] = {}
    for tensor, ratio in ratios.items():
        kinds.setdefault(kind_of(tensor), []).append(ratio)
    of_all = median(ratios.values()) if ratios else 1.0
    whole = {
        tensor: ratios.get(tensor, median(kinds[kind_of(tensor)]) if kind_of(tensor) in kinds else of_all)
        for tensor in estimates
    }
    costs = {
        tensor: {grid: found * whole[tensor] for grid, found in of_grids.items()}
        for tensor, of_grids in estimates.items()
    }
    return Sensitivities(costs, {tensor: dict(of_grids) for tensor, of_grids in estimates.items()}, whole)


def kind_of(tensor: str) -> str:
    """The tensor's name without its layer: `model.layers.3.mlp.up_proj.weight` is an `mlp.up_proj.weight`."""
    return tensor.removeprefix(_LAYERS).partition(".")[2] if tensor.startswith(_LAYERS) else tensor
