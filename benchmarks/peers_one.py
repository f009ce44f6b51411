"""One model file on its runtime in a process of its own: how fast it loads, prefills and decodes, and its memory.

    echo '{"format": "onnx", "folder": ..., "model": ..., "threads": 2, "context": 2048, "tokens": [...]}' \
        | python benchmarks/peers_one.py

`peers_rounds` starts it. It prints one JSON object: seconds and bytes, a list where a measure is repeated. The runner
is the one that `smolship check` uses.
"""

import json
import os
import sys
from importlib import import_module
from time import perf_counter
from typing import Any

from smolship.runtime_checks.probe.memory import read_memory

PREFILL, FIRST, DECODE, DEEP, REPEATS, WARM = 512, 64, 96, 48, 3, 16


def prefill_seconds(backend: Any, tokens: list[int]) -> float:
    """Seconds until the last token's logits are there."""
    begin = perf_counter()
    backend.prefill(tokens)
    return perf_counter() - begin


def decode_seconds(backend: Any, prompt: list[int], count: int) -> float:
    """Seconds of `count` greedy tokens after the prompt, whose own time does not count."""
    token = int(backend.prefill(prompt).argmax())
    begin = perf_counter()
    for _ in range(count):
        token = int(backend.decode(token).argmax())
    return perf_counter() - begin


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Load the file, warm up, then take turns; what they took."""
    backends = import_module(f"smolship.runtime_checks.probe.backend_{job['format']}")
    imports = read_memory()["rss"]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["threads"]])
    tokens: list[int] = job["tokens"]
    begin = perf_counter()
    backend = backends.Backend(job["folder"], job["context"], job["threads"], model=job["model"])
    seconds, loaded = perf_counter() - begin, read_memory()["peak"]
    decode_seconds(backend, tokens[:FIRST], WARM)
    prefill_seconds(backend, tokens[:PREFILL])
    prefill, decode, deep = list[float](), list[float](), list[float]()
    for _ in range(REPEATS):
        prefill.append(prefill_seconds(backend, tokens[:PREFILL]))
        decode.append(decode_seconds(backend, tokens[:FIRST], DECODE))
        deep.append(decode_seconds(backend, tokens[:PREFILL], DEEP))
    return {
        "load": seconds,
        "prefill": prefill,
        "decode": decode,
        "deep": deep,
        "imports": imports,
        "loaded": loaded,
        "peak": read_memory()["peak"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
