"""Speed: warm-up apart, then repeats of prefill, first token and greedy decode; every repeat's seconds are recorded.
Then, where a job asks for it, decoding without a pause: what is left of the speed when the processor is hot.
"""

from time import perf_counter
from typing import Any

from .backend import Backend
from .records import Records


def measure(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """Run a `speed` step: `tokens`, `prefill` (lengths), `first` (length), `decode` (tokens), `repeats`.

    The rounds are interleaved, so that a machine that slows down does so for every measure alike.
    """
    tokens: list[int] = step["tokens"]
    lengths: list[int] = step["prefill"]
    first, count, repeats = int(step["first"]), int(step["decode"]), int(step["repeats"])
    if max([first, *lengths]) > len(tokens):
        raise ValueError(f"a speed step of {max([first, *lengths])} tokens was given only {len(tokens)}")
    warm: dict[str, float] = {"first_token": _first_token(backend, tokens[:first])}  # cold: nothing ran before it
    _decode(backend, tokens[:first], min(count, 16))
    for length in lengths:
        warm[f"prefill {length}"] = _prefill(backend, tokens[:length])
    seconds: dict[str, list[float]] = {}
    for round_ in range(repeats):
        for length in lengths:
            seconds.setdefault(f"prefill {length}", []).append(_prefill(backend, tokens[:length]))
        seconds.setdefault("first_token", []).append(_first_token(backend, tokens[:first]))
        seconds.setdefault(f"decode {count}", []).append(_decode(backend, tokens[:first], count))
        records.progress("speed", round_ + 1, repeats)
    for name, values in seconds.items():
        measure_name, _, extent = name.partition(" ")
        records.emit(
            "speed", measure=measure_name, tokens=int(extent or first), seconds=values, warmup_seconds=warm.get(name)
        )


def sustain(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """Run a `sustained` step: decode for `seconds` after the prompt `tokens`, a rate for each `slice` seconds.

    At `room` tokens, what the artefact's context holds, it begins again with the prompt, whose time counts as time
    under load and in no rate.
    """
    prompt, room = list(step["tokens"]), int(step["room"])
    rates = list[float]()
    end = perf_counter() + float(step["seconds"])
    count, spent = 0, 0.0
    total, total_spent = 0, 0.0
    past, token = 0, 0
    while perf_counter() < end:
        if past in (0, room):
            past, token = len(prompt), int(backend.prefill(prompt).argmax())
        start = perf_counter()
        token = int(backend.decode(token).argmax())
        spent += perf_counter() - start
        past, count = past + 1, count + 1
        if spent >= step["slice"]:
            rates.append(count / spent)
            total, total_spent = total + count, total_spent + spent
            count, spent = 0, 0.0
            records.progress("sustained", len(rates), int(step["seconds"] / step["slice"]))
    records.emit("sustained", tokens=total + count, seconds=total_spent + spent, rates=rates)


def _prefill(backend: Backend, tokens: list[int]) -> float:
    start = perf_counter()
    backend.prefill(tokens)
    return perf_counter() - start


def _first_token(backend: Backend, tokens: list[int]) -> float:
    start = perf_counter()
    int(backend.prefill(tokens).argmax())
    return perf_counter() - start


def _decode(backend: Backend, tokens: list[int], count: int) -> float:
    """Seconds for `count` greedy tokens with the KV cache, the prompt's own time apart."""
    token = int(backend.prefill(tokens).argmax())
    start = perf_counter()
    for _ in range(count):
        token = int(backend.decode(token).argmax())
    return perf_counter() - start
