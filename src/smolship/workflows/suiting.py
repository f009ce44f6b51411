"""Which planned files suit a target, and which of those to ship."""

from collections.abc import Iterable
from dataclasses import dataclass

from smolship.runtime_checks.footprint import Use, checked, full, memory_on
from smolship.runtime_checks.job import FULL
from smolship.targets import METRICS, Target
from smolship.targets.target import Fact
from smolship.targets.units import parse_quantity, show, show_number
from smolship.workflows.planned import PlannedFile

BY_FIDELITY: dict[str, str] = {
    "q8": "0.0045 nats",
    "q4-e8-distilled": "0.075 nats given prose",
    "q4-e8-calibrated": "0.120 nats, 0.090 given prose",
    "q4-distilled": "0.104 nats given prose",
    "q4-calibrated": "0.176 nats, 0.128 given prose",
    "q4-e8": "0.359 nats",
    "q4_0": "0.402 nats",
    "q4": "0.494 nats",
}
"""The recipes, the most faithful first, by the mean KL divergence that docs/quantisation.md has measured of each.

135M, GGUF, encyclopaedic prose; `given prose` where it was calibrated on text of that kind. For other models it is an
order to expect, no more."""

BY_ACTIVATIONS: dict[str, int] = {"gguf": 0, "onnx": 0, "executorch": 1}
"""Of one recipe: formats whose runtime rounds activations by blocks before the one that rounds them by rows (`q8`:
0.0040, 0.0039 and 0.0075 nats measured, docs/fidelity.md)."""

WHILE_CHECKED = FULL.first + FULL.decode // 2
"""tokens in the cache halfway through what `check` decodes to time it"""

FACTS = ("storage_limit", "memory_for_app", "address_space")
"""what a device's own facts limit, beside its budgets"""


@dataclass(frozen=True)
class Suit:
    """A file on a target."""

    memory: dict[str, float] | None
    """the metrics of memory with the context full, bytes; `None` if the target has no runtime for it"""
    memory_checked: dict[str, float] | None
    """the same while `check` measures, whose prompts may fill less of the context"""
    memory_counted: float | None
    """the one with the context full that counts there"""
    ceiling: float | None
    """tokens a second that memory allows while `check` times decoding; `None` if the bandwidth is not known"""
    ceiling_full: float | None
    """the same with the context full"""
    reasons: tuple[str, ...]
    """why it does not fit, the first of them first"""

    @property
    def fits(self) -> bool:
        """Whether it keeps every limit that can be predicted."""
        return not self.reasons


def suit_of(file: PlannedFile, target: Target) -> Suit:
    """A file held against a target: budgets by what `check` will measure, the device's facts by the context full."""
    if file.format not in target.device.runtimes:
        return Suit(None, None, None, None, None, (f"no {file.format} runtime",))
    memory, while_checked = (_memory(file, target, use(file.context)) for use in (full, checked))
    ceilings = [_ceiling(file, target, filled) for filled in (min(WHILE_CHECKED, file.context), file.context)]
    figures = {"size": float(file.sizes.all), "model_size": float(file.sizes.model)}
    figures |= while_checked
    if ceilings[0] is not None:
        figures |= {"decode": ceilings[0], "sustained": ceilings[0]}
    budgets = target.budgets_for(
        format=file.format,
        recipe=file.recipe.name,
        bits=file.bits_per_weight,
        parameters=file.architecture.parameters,
        context=file.context,
    )
    limits = {budget.metric: budget for budget in budgets}
    broken = [
        _reason(metric, value, limits[metric].bound)
        for metric, value in figures.items()
        if metric in limits and not limits[metric].holds(value)
    ]
    counted = memory[target.device.memory_metric]
    return Suit(
        memory, while_checked, counted, ceilings[0], ceilings[1], (*broken, *_beyond_facts(file, target, memory))
    )


def best(fitting: Iterable[tuple[PlannedFile, Suit]]) -> PlannedFile | None:
    """The file to ship: the recipe that is most faithful, then the format, then the least memory."""

    def order(pair: tuple[PlannedFile, Suit]) -> tuple[int, int, float]:
        file, suit = pair
        return list(BY_FIDELITY).index(file.recipe.name), BY_ACTIVATIONS[file.format], suit.memory_counted or 0.0

    return min(fitting, key=order, default=(None, None))[0]


def _memory(file: PlannedFile, target: Target, use: Use) -> dict[str, float]:
    return memory_on(target, file.format, file.stored, file.architecture, use).metrics()


def _ceiling(file: PlannedFile, target: Target, filled: int) -> float | None:
    """Bandwidth over what a token reads: no runtime decodes faster, and most reach half of it."""
    bandwidth = target.device.bandwidth
    return None if bandwidth is None else parse_quantity(bandwidth.value).value / file.read_per_token(filled)


def _beyond_facts(file: PlannedFile, target: Target, memory: dict[str, float]) -> list[str]:
    needed = {
        "storage_limit": ("size", float(file.sizes.all)),
        "memory_for_app": (target.device.memory_metric, memory[target.device.memory_metric]),
        "address_space": ("peak_memory", memory["peak_memory"]),
    }
    reasons = []
    for name in FACTS:
        fact: Fact | None = getattr(target.device, name)
        metric, value = needed[name]
        if fact is not None and value > (limit := parse_quantity(fact.value).value):
            reasons.append(f"{_reason(metric, value, limit)} ({name.replace('_', ' ')})")
    return reasons


def _reason(metric: str, value: float, limit: float) -> str:
    """`peak memory 713 > 600 MB`, `decode at most 6.3 < 7.0 tok/s`."""
    known = METRICS[metric]
    found, sign = (f"{metric}", ">") if known.better == "lower" else (f"{metric} at most", "<")
    return f"{found.replace('_', ' ')} {show_number(value, known.unit)} {sign} {show(limit, known.unit)}"
