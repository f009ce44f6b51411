"""Verdicts: each budget of a target against what was measured."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from smolship.runtime_checks.measurements import REFUSED, Agreement, Fidelity, Measurements
from smolship.runtime_checks.runtimes import runtime_for
from smolship.targets import METRICS, Budget, Target
from smolship.targets.units import show

Outcome = Literal["pass", "fail", "not measured"]
Measured = Literal["on this host", "on the device", ""]

ALWAYS: tuple[Budget, ...] = (
    Budget(metric="tokenizer", limit=">= 100 %", source="another tokenizer is another model"),
    Budget(metric="chat_template", limit=">= 100 %", source="another template is another prompt"),
)
"""what every artefact must keep on every target"""
NOISE = 2.0
"""how many times its own noise a file may be from this host's run: both runs have that noise"""


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
    measured: Measured = ""
    """where the value was measured; nothing if it was not"""
    source: str
    """where the limit comes from"""


def judge(measurements: Measurements, target: Target) -> tuple[Verdict, ...]:
    """A verdict for every budget that `target` has for this artefact.

    Speed and memory of a device are judged where they were measured on it, never by what this machine showed.
    """
    subject = measurements.subject
    budgets = target.budgets_for(
        format=subject.format, recipe=subject.recipe, parameters=subject.parameters, context=subject.context
    )
    named = {budget.metric for budget in budgets}
    always = (*ALWAYS, *_same_as_host(measurements)) if measurements.device else ALWAYS
    required = [budget for budget in always if budget.metric not in named]
    return tuple(
        _verdict(budget, measurements, target) for budget in (*required, *budgets) if _concerns(budget, measurements)
    )


def _same_as_host(measurements: Measurements) -> tuple[Budget, Budget]:
    """A device's kernels compute what this host's do: but for near ties, and for a file's own noise."""
    runtime, noise = runtime_for(measurements.subject.format), measurements.host_noise
    kl, reason = runtime.apart, f"the same file computes the same, within what {runtime.title} rounds differently"
    if noise and NOISE * noise.kl_mean > kl:
        kl = NOISE * noise.kl_mean
        reason += (
            f": {runtime.apart:g} nats, or as here twice the {noise.kl_mean:.2g} nats by which this host differs from "
            "itself when it takes the text another way"
        )
    near = f"near ties, within {runtime.near_tie:g} nats on this host, may differ"
    return (
        Budget(metric="top1_host", limit=">= 99 %", source=f"the same file prefers the same tokens; {near}"),
        Budget(metric="kl_topk_host", limit=f"<= {kl:.3g} nats", source=reason),
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
    if budget.of.of == "device" and not (target.measured_here or measurements.device):
        value, outcome, shown = None, "not measured", f"needs the device: {target.title}"
    elif value is None:
        failed = measurements.failure is not None and measurements.failure.stage != REFUSED
        outcome, shown = ("fail", "the runtime failed") if failed else ("not measured", _why_not(budget, measurements))
    elif distrusted := _distrusted(budget, measurements):
        outcome, shown = "not measured", f"{show(value, budget.of.unit)}, not trusted: {distrusted}"
    else:
        outcome, shown = ("pass" if budget.holds(value) else "fail"), show(value, budget.of.unit)
    return Verdict(
        metric=budget.metric,
        title=budget.of.title,
        limit=str(budget),
        value=value,
        shown=shown,
        outcome=outcome,
        measured=where_measured(budget.metric, measurements) if value is not None else "",
        source=budget.source,
    )


def where_measured(metric: str, measurements: Measurements) -> Measured:
    """Where a metric's value comes from.

    Sizes are of the file here; what `check` measured on this host before may stand beside a device's figures.
    """
    here = metric in _OF_FILES or (metric in _OF_ALL_LOGITS and measurements.fidelity is None)
    return "on this host" if here or measurements.device is None else "on the device"


def _distrusted(budget: Budget, measurements: Measurements) -> str:
    """What disturbed the run, where that decides the figure."""
    disturbed = measurements.device.disturbances if measurements.device else ()
    return "; ".join(disturbed) if budget.of.unit.dimension in ("speed", "time") else ""


def _why_not(budget: Budget, measurements: Measurements) -> str:
    if measurements.failure is not None:
        return "it was not run"
    reason = measurements.unsupported.get("tokenize") if budget.metric in _OF_TOKENIZER else None
    if measurements.device and budget.metric in _OF_ALL_LOGITS:
        reason = "takes every logit: `smolship check` measures it on this host"
    return reason or "no figure"


_OF_FILES = ("size", "model_size")
_OF_ALL_LOGITS = ("top1", "kl_mean", "kl_p99", "kl_max", "perplexity_ratio")
_OF_TOKENIZER = ("tokenizer", "chat_template")


def _fidelity(m: Measurements) -> Fidelity | None:
    return m.fidelity or m.host_fidelity


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
    "top1": lambda m: f.top1 if (f := _fidelity(m)) else None,
    "kl_mean": lambda m: f.kl_mean if (f := _fidelity(m)) else None,
    "kl_p99": lambda m: f.kl_p99 if (f := _fidelity(m)) else None,
    "kl_max": lambda m: f.kl_max if (f := _fidelity(m)) else None,
    "perplexity_ratio": lambda m: f.perplexity_ratio if (f := _fidelity(m)) else None,
    "kl_topk": lambda m: m.topk.kl_mean if m.topk else None,
    "kl_topk_host": lambda m: m.from_host.kl_mean if m.from_host else None,
    "top1_host": lambda m: m.from_host.top1_or_near if m.from_host else None,
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
    "sustained": lambda m: m.sustained.rate if m.sustained else None,
}
"""how each metric is read off; a test holds its names against `METRICS`"""
