"""Budgets given on the command line, which win over those of the target's file."""

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import ValidationError

from smolship.errors import InputError
from smolship.targets.budget import Budget
from smolship.targets.target import Target

SOURCE = "given with --budget"

_SPELT = re.compile(r"\s*([^\s<>=]+)\s*([<>=].*)")


def with_budgets(target: Target, texts: Sequence[str]) -> Target:
    """The target with more budgets, each spelt such as `decode >= 30 tok/s`: for every artefact, and last, so they win.

    `InputError` names the text that is none: an unknown metric, no direction or the wrong one, no unit, another
    quantity's unit; or the metric that two of them limit.
    """
    given = tuple(_budget(text) for text in texts)
    twice = [metric for metric, count in Counter(budget.metric for budget in given).items() if count > 1]
    if twice:
        raise InputError(f"--budget is given more than once for {', '.join(twice)}: give one limit for a metric")
    return target.model_copy(update={"budget": (*target.budget, *given)})


def _budget(text: str) -> Budget:
    match = _SPELT.fullmatch(text)
    if not match:
        raise InputError(
            f"--budget {text!r} is no budget: write a metric, <= or >=, a number and its unit, "
            "such as 'decode >= 30 tok/s'"
        )
    try:
        return Budget(metric=match[1], limit=match[2], source=SOURCE)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"--budget {text!r}: {message}") from error
