"""Verdicts: each budget of a target against what was measured."""

from collections.abc import Callable
from typing import Literal

from smolship.record import Record
from smolship.runtime_checks.measurements import REFUSED, Agreement, Measurements
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


class Verdict(Record):
    """One budget and how it was kept."""

    metric: str
    title: str
    limit: str
    value: float | None
    """what was measured, in the metric's base unit"""
    shown: str
    """the value with its unit, or why there is none"""
    bound: float
    """the limit, in the metric's base unit"""
    outcome: Outcome
    measured: Measured = ""
    """where the value was measured; nothing if it was not"""
    source: str
    """where the limit comes from"""


def judge(measurements: Measurements, target: Target, here: Measurements | None = None) -> tuple[Verdict, ...]:
    """A verdict for every budget that `target` has for this artefact.

    Speed and memory of a device are judged where they were measured on it, never by what this machine showed. `here` is
    what this host measured of the same file: it stands in where a device did not measure what is the file's own.
    """
    subject = measurements.subject
    budgets = target.budgets_for(
        format=subject.format,
        recipe=subject.recipe,
        parameters=subject.parameters,
        context=subject.context,
        bits=subject.bits_per_weight,
    )
    named = {budget.metric for budget in budgets}
    always = (*ALWAYS, *_same_as_host(measurements)) if _on_target(measurements, target) else ALWAYS
    required = [budget for budget in always if budget.metric not in named]
    concerned = [budget for budget in (*required, *budgets) if _concerns(budget, measurements)]
    return tuple(_verdict(budget, measurements, target, here) for budget in concerned)


def _on_target(measurements: Measurements, target: Target) -> bool:
    """Whether it was a device of this target that was measured."""
    return measurements.device is not None and measurements.device.target == target.name


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


def _verdict(budget: Budget, measurements: Measurements, target: Target, here: Measurements | None) -> Verdict:
    value, measured = _found(budget, measurements, here)
    outcome: Outcome
    judged_here = measurements.device is None and target.measured_here
    if budget.of.of == "device" and not (judged_here or _on_target(measurements, target)):
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
        bound=budget.bound,
        outcome=outcome,
        measured=measured if value is not None else "",
        source=budget.source,
    )


def _found(budget: Budget, measurements: Measurements, here: Measurements | None) -> tuple[float | None, Measured]:
    """A metric's value and where it was measured: sizes are of the file here."""
    read = _READERS[budget.metric]
    value = read(measurements)
    if value is None and here is not None and budget.of.of == "file":
        return read(here), "on this host"
    of_file = measurements.device is None or budget.metric in _OF_FILES
    return value, "on this host" if of_file else "on the device"


def _distrusted(budget: Budget, measurements: Measurements) -> str:
    """What disturbed the run, where that decides the figure."""
    disturbed = measurements.device.disturbances if measurements.device else ()
    return "; ".join(disturbed) if budget.of.unit.dimension in ("speed", "time") else ""


def _why_not(budget: Budget, measurements: Measurements) -> str:
    if measurements.not_run:
        return measurements.not_run
    if measurements.failure is not None:
        return "it was not run"
    if budget.metric == "task_accuracy_delta":
        return "no questions were asked: give --task a file of them"
    reason = measurements.unsupported.get("tokenize") if budget.metric in _OF_TOKENIZER else None
    if measurements.device and budget.metric in _OF_ALL_LOGITS:
        reason = "takes every logit: `smolship check` measures it on this host"
    return reason or "no figure"


_OF_FILES = ("size", "model_size")
_OF_ALL_LOGITS = ("top1", "kl_mean", "kl_p99", "kl_max", "perplexity_ratio", "task_accuracy_delta")
_OF_TOKENIZER = ("tokenizer", "chat_template")


def _task_delta(m: Measurements) -> float | None:
    """Over the rows of all files together."""
    rows = sum(task.rows for task in m.tasks)
    return sum(task.delta * task.rows for task in m.tasks) / rows if rows else None


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
    "task_accuracy_delta": _task_delta,
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
