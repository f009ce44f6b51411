"""`Goal`: what a file is fitted to, as `--fit` spells it: a size, a target's size, or a divergence."""

import re
from dataclasses import dataclass
from math import inf

from smolship.errors import InputError
from smolship.targets.target import Target
from smolship.targets.units import UNITS, parse_quantity

SIZES = ("model_size", "size")
"""the metrics whose limits a target's goal is made of"""

_SPELT = "write a size such as 80MB, `target` for the target's own size budget, or a divergence such as kl=0.05"


@dataclass(frozen=True)
class Goal:
    """At most so many bytes with the least divergence, or at most so much divergence in the fewest bytes."""

    name: str
    """how it was asked for, fit for a folder's name"""
    model_bytes: int | None = None
    """of the model's own files"""
    all_bytes: int | None = None
    """of all that ships"""
    divergence: float | None = None
    """nats, predicted"""


def parse_goal(text: str) -> Goal:
    """Read `80MB`, `92 MB`, `80000000` (bytes) or `kl=0.05` (nats); `InputError` says what is wrong with another."""
    name = re.sub(r"[\s_]", "", text)
    if name.startswith("kl="):
        return Goal("kl" + name[3:], divergence=_positive(name[3:], "divergence", UNITS["nats"].name, text))
    size = _positive(name, "memory", UNITS["B"].name, text)
    return Goal(f"{name}B" if name.isdecimal() else name, model_bytes=int(round(size, 3)))


def goal_of(target: Target, *, format: str, parameters: int, context: int) -> Goal:  # noqa: A002 - the table's word
    """The size budgets that a target has for a fitted artefact; `InputError` if it has none.

    How many bits a weight will take follows from the goal: a budget with `min_bits` makes none.
    """
    recipe = f"fit-{target.name}"
    budgets = target.budgets_for(format=format, recipe=recipe, bits=0, parameters=parameters, context=context)
    limits = {budget.metric: int(budget.bound) for budget in budgets if budget.metric in SIZES}
    if not limits:
        raise InputError(
            f"target {target.name} has no size budget that is for every recipe of {format} files of this model: "
            "give --fit a size such as 80MB"
        )
    return Goal(re.sub(r"[^\w.-]", "-", target.name), limits.get("model_size"), limits.get("size"))


def _positive(number: str, dimension: str, unit: str, text: str) -> float:
    """A quantity above zero in base units, `unit` where it has none."""
    wrong = InputError(f"--fit {text!r} is no {'size' if dimension == 'memory' else dimension}: {_SPELT}")
    try:
        quantity = parse_quantity(number if number[-1:].isalpha() else f"{number} {unit}")
    except InputError as error:
        raise wrong from error
    if quantity.unit.dimension != dimension or not 0 < quantity.value < inf:
        raise wrong
    return quantity.value
