"""`Solution`: what calibrated rounding decided for a checkpoint, and how the cache keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from smolship.quantize.blocks import ARRAYS, Blocks
from smolship.quantize.cache import Arrays


@dataclass(frozen=True)
class Divergence:
    """The model at one stage against the checkpoint in float32, on one text."""

    text: str
    tokens: int
    kl: float
    """mean KL divergence, nats"""
    top1: float
    """share of positions whose most likely token is the same"""
    perplexity: float
    reference_perplexity: float


@dataclass(frozen=True)
class Stage:
    """One step of the way from the checkpoint to the codes."""

    name: str
    seconds: float
    divergences: tuple[Divergence, ...]
    """computed in float32 from the decoded weights, without any runtime's activation rounding"""


@dataclass(frozen=True)
class Errors:
    """What rounding did to one matrix."""

    weight: float
    """‖W - Ŵ‖ / ‖W‖, W as it was before rounding (scales moved already)"""
    output: float
    """‖(W - Ŵ)x‖ / ‖Wx‖ over the calibration text, tokens weighted by the squared gradient at the output"""


@dataclass(frozen=True, eq=False)
class Solution:
    """Blocks by tensor, the tensors whose floats changed, each block's errors, and the stages on the way."""

    blocks: Mapping[str, Blocks]
    floats: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    errors: Mapping[str, Errors] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()


ROUNDED_ALONE = Solution({})
"""of a model whose tensors are rounded each for itself"""

_STAGES = TypeAdapter(tuple[Stage, ...])
_ERRORS = TypeAdapter(dict[str, Errors])


def arrays_of(solution: Solution) -> Arrays:
    """The solution as named arrays, one for each part of each tensor, for the cache."""
    arrays: dict[str, NDArray[Any]] = {
        "stages": np.frombuffer(_STAGES.dump_json(solution.stages), np.uint8),
        "errors": np.frombuffer(_ERRORS.dump_json(dict(solution.errors)), np.uint8),
    }
    for tensor, blocks in solution.blocks.items():
        arrays[f"blocks/{tensor}/grid"] = np.array(blocks.grid)
        for name in ARRAYS:
            if (array := getattr(blocks, name)) is not None:
                arrays[f"blocks/{tensor}/{name}"] = array
    return arrays | {f"floats/{tensor}": array for tensor, array in solution.floats.items()}


def solution_of(arrays: Arrays) -> Solution:
    """The inverse of `arrays_of`."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    floats = {}
    for key, array in arrays.items():
        kind, _, rest = key.partition("/")
        if kind == "blocks":
            tensor, _, name = rest.rpartition("/")
            parts.setdefault(tensor, {})[name] = array
        elif kind == "floats":
            floats[rest] = array
    blocks = {tensor: Blocks(grid=str(found.pop("grid")), **found) for tensor, found in parts.items()}
    errors = _ERRORS.validate_json(arrays["errors"].tobytes())
    return Solution(blocks, floats, errors, _STAGES.validate_json(arrays["stages"].tobytes()))
