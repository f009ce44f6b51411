"""Whether two figures tell of the files at all: a literal table of what has to be the same on both sides."""

from collections.abc import Callable
from itertools import chain

from smolship.runtime_checks.measurements import Agreement, Measurements, Speed
from smolship.targets import METRICS

OTHER_TIMES = "measured at different times"
MEMORY = ("peak_memory", "anonymous_memory", "file_memory", "model_memory")
IN_TURNS = (*MEMORY, "load_time", "first_token", "prefill_64", "prefill_512", "decode")
"""what is measured in turns"""
Condition = Callable[[Measurements, Measurements], str]


def why_not(metric: str, old: Measurements, new: Measurements) -> str:
    """Why two measured figures of a metric cannot be held against each other, or nothing."""
    if METRICS[metric].unit.dimension in ("speed", "time"):
        return _at_other_times(metric, old)
    return next((reason for condition in CONDITIONS[metric] if (reason := condition(old, new))), "")


def changes(old: Measurements, new: Measurements) -> tuple[str, ...]:
    """What is not as it was but for the files: context, text, machine and runtimes."""
    found = []
    if old.subject.context != new.subject.context:
        found.append(f"context {old.subject.context:,} → {new.subject.context:,} tokens")
    if old.text and new.text and old.text != new.text:
        found.append(_text(old, new))
    if old.fidelity and new.fidelity and old.reference != new.reference:
        found.append(f"reference {old.reference} → {new.reference}")
    if old.host and new.host:
        found += _machine(old, new)
    return tuple(found)


def _at_other_times(metric: str, old: Measurements) -> str:
    if old.device is not None:
        return f"{OTHER_TIMES}, and --rerun measures on this host alone"
    if metric not in IN_TURNS:
        return f"{OTHER_TIMES}, and --rerun does not measure it"
    return f"{OTHER_TIMES}: --rerun measures both side by side"


def _text(old: Measurements, new: Measurements) -> str:
    """The text that fidelity was measured on, if it is another or in other windows."""
    if old.text is None or new.text is None or old.text == new.text:
        return ""
    if old.text.sha256 != new.text.sha256:
        return f"text {old.text.name} → {new.text.name} (sha256 {old.text.sha256[:8]}… → {new.text.sha256[:8]}…)"
    return f"windows of text {old.text.windows} × {old.text.length} → {new.text.windows} × {new.text.length} tokens"


def _same_text(old: Measurements, new: Measurements) -> str:
    """Fidelity is of a text and against a reference."""
    if other := _text(old, new):
        return other
    return "" if old.reference == new.reference else f"reference {old.reference} → {new.reference}"


def _same_questions(old: Measurements, new: Measurements) -> str:
    asked = [[(task.name, task.sha256, task.rows) for task in one.tasks] for one in (old, new)]
    return "" if asked[0] == asked[1] else "other multiple-choice questions were asked"


def _same_prompts(old: Measurements, new: Measurements) -> str:
    asked = [[(answer.prompt, answer.expected) for answer in one.answers] for one in (old, new)]
    return "" if asked[0] == asked[1] else "other prompts were asked"


def _as_many(of: Callable[[Measurements], Agreement | None], what: str) -> Condition:
    def same(old: Measurements, new: Measurements) -> str:
        before, after = of(old), of(new)
        if before is None or after is None or before.compared == after.compared:
            return ""
        return f"{before.compared} → {after.compared} {what} were compared"

    return same


def _machine(old: Measurements, new: Measurements) -> list[str]:
    """In what the machine and the runtimes differ."""
    if old.host is None or new.host is None:
        return ["the machine is not known"]
    pairs = [
        ("processor", old.host.cpu, new.host.cpu),
        ("cores", old.host.usable_cores, new.host.usable_cores),
        ("threads", old.host.threads, new.host.threads),
        ("C library", old.host.libc, new.host.libc),
    ]
    names = dict.fromkeys(chain(old.runtime, new.runtime))
    pairs += [(name, old.runtime.get(name, "none"), new.runtime.get(name, "none")) for name in names]
    return [f"{name} {before} → {after}" for name, before, after in pairs if before != after]


def _same_machine(old: Measurements, new: Measurements) -> str:
    return ", ".join(_machine(old, new))


def _same_work(old: Measurements, new: Measurements) -> str:
    """Memory's peak is of what ran until then."""
    return "" if _work(old) == _work(new) else "prompts of other lengths were run"


def _work(one: Measurements) -> tuple[list[int], int, int]:
    return sorted(one.prefill), _tokens(one.first_token), _tokens(one.decode)


def _tokens(speed: Speed | None) -> int:
    return speed.tokens if speed else 0


_ON_DEVICE = (_same_machine, _same_text)
CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "size": (),
    "model_size": (),
    "top1": (_same_text,),
    "kl_mean": (_same_text,),
    "kl_p99": (_same_text,),
    "kl_max": (_same_text,),
    "perplexity_ratio": (_same_text,),
    "task_accuracy_delta": (_same_questions,),
    "kl_topk": _ON_DEVICE,
    "kl_topk_host": _ON_DEVICE,
    "top1_host": _ON_DEVICE,
    "tokenizer": (_as_many(lambda one: one.tokenizer, "texts"),),
    "chat_template": (_as_many(lambda one: one.chat_template, "conversations"),),
    "answers": (_same_prompts,),
    "stops": (_same_prompts,),
    **dict.fromkeys(MEMORY, (_same_machine, _same_work)),
}
"""by metric; speeds and times are compared in turns or not at all. A test holds its names against `METRICS`"""
