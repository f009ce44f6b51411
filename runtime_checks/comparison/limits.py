"""Limits of what may get worse from one release to the next: as they are spelt, and those that hold by default."""

from collections.abc import Iterable
from dataclasses import dataclass

from smolship.errors import InputError
from smolship.targets import METRICS, Metric
from smolship.targets.metrics import metric_named
from smolship.targets.units import UNITS, parse_quantity

GIVEN = "given"
SPELT = "write METRIC=LIMIT, such as decode=5%, size=1MB or top1=0.5pp"
DEFAULTS: dict[str, tuple[str, str]] = {
    "size": ("1%", "a rebuild has the same bytes: what adds more was somebody's choice"),
    "model_size": ("1%", "a rebuild has the same bytes: what adds more was somebody's choice"),
    "top1": ("0.5pp", "about 20 of the 4,096 positions of a check"),
    "kl_mean": ("5%", "the same file gives the same figure on the same machine"),
    "kl_p99": ("10%", "the 41st worst of the 4,096 positions of a check moves more than their mean"),
    "perplexity_ratio": ("0.5%", "about what 8 bits cost the smallest model"),
    "task_accuracy_delta": ("1pp", "fewer than some 1,000 questions are noisier: give more room then"),
    "kl_topk": ("5%", "the same file gives the same figure on the same device"),
    "tokenizer": ("0pp", "another tokenizer is another model"),
    "chat_template": ("0pp", "another template is another prompt"),
    "answers": ("0pp", "a handful of easy questions"),
    "stops": ("0pp", "an answer that does not end is a defect that every user meets"),
    "peak_memory": ("5%", "repeats of one file on one machine are within a few per cent"),
    "prefill_64": ("5%", "less is seen only on a quiet machine"),
    "prefill_512": ("5%", "less is seen only on a quiet machine"),
    "first_token": ("5%", "less is seen only on a quiet machine"),
    "decode": ("5%", "less is seen only on a quiet machine"),
}
"""limit and reason by metric, where none is given; the other metrics are shown and not judged"""


@dataclass(frozen=True)
class Limit:
    """How much worse one metric may be."""

    metric: Metric
    text: str
    """as it was written, in one spelling"""
    value: float
    """a fraction of the old value, or so much in the metric's base unit"""
    relative: bool
    source: str
    """`GIVEN`, or why it holds if none is given"""

    @property
    def given(self) -> bool:
        """Whether somebody asked for it: then it has to be judged."""
        return self.source == GIVEN

    def allowed(self, old: float) -> float:
        """How much worse than `old` the new value may be, in the metric's base unit."""
        return self.value * abs(old) if self.relative else self.value


def limits_of(given: Iterable[str]) -> dict[str, Limit]:
    """The limits of a comparison by metric: `METRIC=LIMIT`s, and the defaults of the other metrics.

    A percentage is of the old value; of shares, `pp` is a difference in percentage points. `InputError` says what is
    wrong with one.
    """
    limits: dict[str, Limit] = {}
    for text in given:
        limit = parse_limit(text)
        if limit.metric.name in limits:
            raise InputError(f"--max-regression {limit.metric.name} is given twice: give one limit")
        limits[limit.metric.name] = limit
    for name, (text, reason) in DEFAULTS.items():
        limits.setdefault(name, _limit(METRICS[name], text, reason, f"{name}={text}"))
    return limits


def parse_limit(text: str) -> Limit:
    """Read `decode=5%` or `kl_mean=0.005nats`; `InputError` says what is wrong with anything else."""
    name, equals, amount = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--max-regression {text!r} is no limit: {SPELT}")
    return _limit(metric_named(name.strip()), amount, GIVEN, text)


def _limit(metric: Metric, amount: str, source: str, text: str) -> Limit:
    try:
        quantity = parse_quantity(amount)
    except InputError as error:
        raise InputError(f"--max-regression {text!r}: {error}") from error
    if quantity.value < 0:
        raise InputError(f"--max-regression {text!r} is no limit: it is how much worse the figure may get, from 0 up")
    dimension, shown = quantity.unit.dimension, f"{quantity.value / quantity.unit.factor:g} {quantity.unit.name}"
    difference = metric.unit.dimension == UNITS["pp"].dimension
    if dimension == UNITS["%"].dimension and not difference:
        return Limit(metric, shown, quantity.value, relative=True, source=source)
    share = metric.unit.dimension == UNITS["%"].dimension
    wanted = UNITS["pp"] if share else metric.unit
    if dimension != wanted.dimension:
        part = "" if difference else ", or a part of the old value in %"
        raise InputError(
            f"--max-regression {text!r} limits a {dimension}; {metric.name} takes one in {wanted.name}{part}"
        )
    return Limit(metric, shown, quantity.value, relative=False, source=source)
