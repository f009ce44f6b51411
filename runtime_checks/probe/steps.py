"""The steps a job can ask for, after the model is loaded."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

from . import likelihoods, speed
from .backend import Backend
from .records import Records

Step = Callable[[Backend, Records, dict[str, Any]], None]


def generate(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """Greedy tokens after `tokens` until an id of `stop` or `max_new` of them: says which, and what the text is."""
    stop, new = set(step["stop"]), list[int]()
    start = perf_counter()
    token, stopped = int(backend.prefill(step["tokens"]).argmax()), False
    while len(new) < step["max_new"]:
        if token in stop:
            stopped = True
            break
        new.append(token)
        token = int(backend.decode(token).argmax())
    text = backend.detokenize(new).decode("utf-8", "replace")
    seconds = perf_counter() - start
    records.emit("generated", name=step["name"], tokens=new, text=text, stopped=stopped, seconds=seconds)


def tokenize(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """The ids that the runtime's own tokenizer gives each of `texts`, and the bytes they decode to (as hex)."""
    ids = [backend.tokenize(text) for text in step["texts"]]
    records.emit("tokenized", name=step["name"], ids=ids, bytes=[backend.detokenize(each).hex() for each in ids])


def windows(backend: Backend, records: Records, step: dict[str, Any]) -> None:
    """Logits of every position of each of `windows`, one file a window: float32 rows, little endian.

    At most `keep` files lie there at a time: the next is begun when the reader has removed an older one.
    """
    written: list[Path] = []
    for index, tokens in enumerate(step["windows"]):
        _wait_for_reader(written, step["keep"], step["patience"])
        path, rows, columns = Path(f"window-{index}.f32"), 0, 0
        start = perf_counter()
        with path.open("wb") as file:
            for chunk in backend.window(tokens):
                rows, columns = rows + chunk.shape[0], chunk.shape[1]
                chunk.astype("<f4", copy=False).tofile(file)
        if rows != len(tokens):
            raise RuntimeError(f"the runtime gave {rows} rows of logits for {len(tokens)} tokens")
        written.append(path)
        seconds = perf_counter() - start
        records.emit("logits", window=index, file=path.name, shape=[rows, columns], dtype="<f4", seconds=seconds)


def _wait_for_reader(written: list[Path], keep: int, patience: float) -> None:
    deadline = monotonic() + patience
    while sum(path.exists() for path in written) >= keep:
        if monotonic() > deadline:
            raise TimeoutError(f"nobody took the logits away for {patience:.0f} s")
        sleep(0.01)


STEPS: dict[str, Step] = {
    "speed": speed.measure,
    "sustained": speed.sustain,
    "generate": generate,
    "tokenize": tokenize,
    "likelihoods": likelihoods.measure,
    "windows": windows,
}
"""by the name a job uses; a step `memory`, which ends the sampling, belongs to `__main__`"""
