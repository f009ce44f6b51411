"""Verdicts: each budget of a target against what was measured."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from smolship.runtime_checks.measurements import Agreement, Measurements
from smolship.targets import METRICS, Budget, Target
from smolship.targets.units import show

Outcome = Literal["pass", "fail", "not measured here"]

ALWAYS: tuple[Budget, ...] = (
    Budget(metric="tokenizer", limit=">= 100 %", source="another tokenizer is another model"),
    Budget(metric="chat_template", limit=">= 100 %", source="another template is another prompt"),
)
"""what every artefact must keep on every target"""


class Verdict(BaseModel):
    """One budget and how it was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    title: str
    limit: str
    value: float | None
    """what was measured, in the metric's base unit"""
    shown: str
    """the value with its unit, or why there is none"""
    outcome: Outcome
    source: str
    """where the limit comes from"""


def judge(measurements: Measurements, target: Target) -> tuple[Verdict, ...]:
    """A verdict for every budget that `target` has for this artefact.

    Speed and memory of a target other than `host` are not measured here, whatever this machine showed.
    """
    subject = measurements.subject
    budgets = target.budgets_for(
        format=subject.format, recipe=subject.recipe, parameters=subject.parameters, context=subject.context
    )
    named = {budget.metric for budget in budgets}
    required = [budget for budget in ALWAYS if budget.metric not in named]
    return tuple(
        _verdict(budget, measurements, target) for budget in (*required, *budgets) if _concerns(budget, measurements)
    )


def values(measurements: Measurements) -> dict[str, float | None]:
    """Every metric of the table by name, in its base unit; `None` where nothing was measured."""
    return {name: _READERS[name](measurements) for name in METRICS}


def _concerns(budget: Budget, measurements: Measurements) -> bool:
    """A base model has no chat template and is not asked to end its answers."""
    return measurements.subject.instruct or budget.metric not in ("chat_template", "stops")


def _verdict(budget: Budget, measurements: Measurements, target: Target) -> Verdict:
    value = _READERS[budget.metric](measurements)
    outcome: Outcome
    if budget.of.of == "device" and not target.measured_here:
        value, outcome, shown = None, "not measured here", f"needs the device: {target.title}"
    elif value is None:
        failed = measurements.failure is not None
        outcome, shown = ("fail", "the runtime failed") if failed else ("not measured here", "no figure")
    else:
        outcome, shown = ("pass" if budget.holds(value) else "fail"), show(value, budget.of.unit)
    return Verdict(
        metric=budget.metric,
        title=budget.of.title,
        limit=str(budget),
        value=value,
        shown=shown,
        outcome=outcome,
        source=budget.source,
    )


def _share(agreement: Agreement | None) -> float | None:
    return agreement.identical / agreement.compared if agreement and agreement.compared else None


def _answers(m: Measurements) -> float | None:
    return sum(answer.right for answer in m.answers) / len(m.answers) if m.answers else None


def _stops(m: Measurements) -> float | None:
    asked = [answer.stopped for answer in m.answers if answer.should_stop]
    return sum(asked) / len(asked) if asked else None


def _model_memory(m: Measurements) -> float | None:
    return m.memory.peak - m.after_imports.rss if m.memory and m.after_imports else None


_READERS: dict[str, Callable[[Measurements], float | None]] = {
    "size": lambda m: m.subject.size,
    "model_size": lambda m: m.subject.model_size,
    "top1": lambda m: m.fidelity.top1 if m.fidelity else None,
    "kl_mean": lambda m: m.fidelity.kl_mean if m.fidelity else None,
    "kl_p99": lambda m: m.fidelity.kl_p99 if m.fidelity else None,
    "kl_max": lambda m: m.fidelity.kl_max if m.fidelity else None,
    "perplexity_ratio": lambda m: m.fidelity.perplexity_ratio if m.fidelity else None,
    "tokenizer": lambda m: _share(m.tokenizer),
    "chat_template": lambda m: _share(m.chat_template),
    "answers": _answers,
    "stops": _stops,
    "peak_memory": lambda m: m.memory.peak if m.memory else None,
    "anonymous_memory": lambda m: m.memory.anon if m.memory else None,
    "file_memory": lambda m: m.memory.file if m.memory else None,
    "model_memory": _model_memory,
    "load_time": lambda m: m.load_seconds,
    "first_token": lambda m: m.first_token.median_seconds if m.first_token else None,
    "prefill_64": lambda m: m.prefill[64].rate if 64 in m.prefill else None,
    "prefill_512": lambda m: m.prefill[512].rate if 512 in m.prefill else None,
    "decode": lambda m: m.decode.rate if m.decode else None,
}
"""how each metric is read off; a test holds its names against `METRICS`"""
