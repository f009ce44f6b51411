"""Figures as people read them: the short table of each place, and everything that was measured of one artefact."""

from collections.abc import Sequence

from smolship.runtime_checks.measurements import Measurements, OnDevice, Speed, TaskScore
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS
from smolship.targets.units import UNITS, show, show_number

Columns = tuple[tuple[str, str], ...]
Lines = list[tuple[str, str]]
COLUMNS: Columns = (
    ("model_size", "size"),
    ("kl_mean", "mean KL"),
    ("top1", "top-1"),
    ("perplexity_ratio", "PPL ratio"),
    ("prefill_512", "prefill 512"),
    ("decode", "decode"),
    ("first_token", "first token"),
    ("peak_memory", "peak memory"),
)
"""the metrics of the short table of this host, with short headings"""
COLUMNS_ON_DEVICE: Columns = (
    ("model_size", "size"),
    ("kl_topk", "KL over top tokens"),
    ("kl_topk_host", "KL from this host"),
    ("top1_host", "top-1 as here"),
    ("prefill_512", "prefill 512"),
    ("decode", "decode"),
    ("sustained", "decode, sustained"),
    ("first_token", "first token"),
    ("peak_memory", "peak memory"),
)
"""the same of a device: the divergence over all tokens takes every logit"""


def columns_of(records: Sequence[Measurements]) -> Columns:
    """The columns for records of one place."""
    return COLUMNS_ON_DEVICE if any(one.device for one in records) else COLUMNS


def figure(metric: str, value: float | None) -> str:
    """A metric's value as people read it, or a dash."""
    return "–" if value is None else show(value, METRICS[metric].unit)


def cell(metric: str, value: float | None) -> str:
    """The same without its unit, for a table whose heading names it."""
    return "–" if value is None else show_number(value, METRICS[metric].unit)


def by_place(records: Sequence[Measurements]) -> dict[str, list[Measurements]]:
    """Records by where they were taken, this host first."""
    places: dict[str, list[Measurements]] = {}
    for one in sorted(records, key=lambda one: one.device is not None):
        places.setdefault(one.place, []).append(one)
    return places


def prediction(measurements: Measurements) -> str | None:
    """What was predicted of the file beside what was measured, in words; `None` if nothing was predicted."""
    foreseen = measurements.subject.predicted_divergence
    if foreseen is None:
        return None
    found = values(measurements)["kl_mean"]
    measured = "not measured" if found is None else f"measured {figure('kl_mean', found)}"
    return f"{METRICS['kl_mean'].title}: predicted {figure('kl_mean', foreseen)}, {measured}"


def differences(measurements: Measurements) -> Lines:
    """Where the artefact's tokenizer or chat template first parts from the reference's, if it does."""
    agreements = (("tokenizer", measurements.tokenizer), ("chat_template", measurements.chat_template))
    return [
        (METRICS[name].title, found.first_difference)
        for name, found in agreements
        if found is not None and found.first_difference is not None
    ]


def everything(measurements: Measurements) -> Lines:
    """Everything measured of one artefact in one place, a line each."""
    found = values(measurements)
    speeds = {f"prefill of {n} tokens": speed for n, speed in measurements.prefill.items()}
    if measurements.decode:
        speeds[f"decode of {measurements.decode.tokens} tokens"] = measurements.decode
    told = {"prefill_64", "prefill_512", "decode"}
    return [
        *((name, _with_spread(speed)) for name, speed in speeds.items()),
        *((METRICS[name].title, figure(name, found[name])) for name in METRICS if name not in told),
        *_tasks(measurements),
        *_compared(measurements),
        *_moments(measurements),
    ]


def _with_spread(speed: Speed) -> str:
    """The median rate with the slowest and the fastest repeat."""
    low, high = speed.rates
    return f"{show(speed.rate, UNITS['tok/s'])} ({low:,.0f} to {high:,.0f}, {len(speed.seconds)} repeats)"


def _tasks(measurements: Measurements) -> Lines:
    """Accuracy on each file of questions."""
    return [
        (
            f"accuracy on {task.name}, {task.rows:,} questions",
            _accuracy(task),
        )
        for task in measurements.tasks
    ]


def _accuracy(task: TaskScore) -> str:
    beside = f"{task.accuracy:.1%}, the reference {task.reference_accuracy:.1%}"
    return f"{beside}: {100 * task.delta:+.1f} pp, standard error {100 * task.error:.1f}"


def _compared(measurements: Measurements) -> Lines:
    """The comparisons by the most likely tokens: kl_topk and top-1 agreement of each."""
    pairs = (
        ("this run against the reference", measurements.topk),
        ("this host's run against the reference", measurements.host_topk),
        ("this run against this host's", measurements.from_host),
        ("this host's against itself, taken another way", measurements.host_noise),
    )
    return [
        (
            f"kl_topk, {title}",
            f"{found.kl_mean:.3g} nats, top-1 {found.top1:.1%}, with near ties {found.top1_or_near:.1%}",
        )
        for title, found in pairs
        if found
    ]


def _moments(measurements: Measurements) -> Lines:
    """What happened at single moments of the run."""
    lines: Lines = []
    if measurements.sustained and measurements.sustained.rates:
        rates = measurements.sustained.rates
        lines.append(
            ("decode, first and last slice of a run without a pause", f"{rates[0]:,.1f} and {rates[-1]:,.1f} tok/s")
        )
    if measurements.first_token and measurements.first_token.warmup_seconds is not None:
        lines.append(("the very first token after loading", f"{measurements.first_token.warmup_seconds:.3f} s"))
    if measurements.after_imports:
        lines.append(("memory after the runtime's imports", figure("peak_memory", measurements.after_imports.rss)))
    if measurements.after_load:
        lines.append(("memory after loading", figure("peak_memory", measurements.after_load.rss)))
    return lines


def setting(records: Sequence[Measurements]) -> Lines:
    """Under what conditions the figures of one place were taken."""
    ran = [one for one in records if one.host]
    if not ran or ran[0].host is None:
        return []
    first, host, text = ran[0], ran[0].host, ran[0].text
    loads = [one.host for one in ran if one.host]
    before, after = loads[0].load_average[0], (loads[-1].load_average_after or loads[-1].load_average)[0]
    runtimes = {name: version for one in ran for name, version in one.runtime.items()}
    lines = [
        _machine(first),
        ("Threads", str(host.threads)),
        ("Load", f"{before:.2f} before the first artefact, {after:.2f} after the last (average of one minute)"),
    ]
    if text:
        tokens = text.windows * text.length
        lines.append(("Text", f"{text.name}: {tokens:,} tokens in {text.windows} windows of {text.length}"))
    contexts = sorted({one.subject.context for one in ran})
    lines += [
        ("Reference", first.reference),
        ("Runtimes", ", ".join(f"{name} {version}" for name, version in sorted(runtimes.items()))),
        ("Context", f"{', '.join(f'{context:,}' for context in contexts)} tokens"),
    ]
    return lines + _doing(ran)


def _machine(first: Measurements) -> tuple[str, str]:
    """What was measured on."""
    if first.device is None:
        host = first.host
        told = f"{host.cpu}, {host.usable_cores} cores, {host.system}, {host.machine}" if host else "not told"
        return ("Host", told)
    facts = first.device.facts
    return ("Device", f"{first.place}: {facts.model}, {facts.kernel}, {facts.libc}, {facts.cores} cores")


def _doing(records: Sequence[Measurements]) -> Lines:
    """How the device was doing, from before the first artefact to after the last."""
    devices = [one.device for one in records if one.device]
    if not devices or devices[0].before is None:
        return []
    first, last = devices[0].before, devices[-1].after or devices[-1].before or devices[0].before
    lines: Lines = []
    if first.governor:
        lines.append(("Governor", first.governor))
    if first.temperature is not None and last.temperature is not None:
        lines.append(("Temperature", f"{first.temperature:.1f} °C before, {last.temperature:.1f} °C after"))
    if last.throttled is not None:
        lines.append(("Throttling", "none" if not last.throttled else f"{last.throttled:#x} (vcgencmd get_throttled)"))
    return lines


def disturbances(records: Sequence[Measurements]) -> list[str]:
    """What made a run on a device untrustworthy, each thing as it was seen first."""
    devices: list[OnDevice] = [one.device for one in records if one.device]
    seen: dict[str, str] = {}
    for words in (words for device in devices for words in device.disturbances):
        seen.setdefault(words.partition(":")[0], words)
    return list(seen.values())
