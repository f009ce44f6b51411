"""The fused ONNX graph over weights in float32 computes what Optimum's own export does: every logit, held together.

    python benchmarks/onnx_proof.py [--checkpoint embedded] [--work build/foreign] [--text prose|FILE] [--json FILE]

Optimum's export is made by the tool itself (`foreign_makers`), ours by the passes that make every file that ships, but
for the quantised operators. Both run on plain ONNX Runtime, window after window of the text; ours is loaded with
`logits_from` at the first position. Differences are taken in float64. Exit code 1 if a bar does not hold.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from foreign_makers import open_workshop, optimum
from numpy.typing import NDArray

from smolship.artefact import write_atomically
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import SmolshipError
from smolship.quiet import quiet
from smolship.runtime_checks.windows import COUNT, Windows, windows

Float64 = NDArray[np.float64]
BARS = {"largest": 1e-3, "mean": 1e-5, "KL": 1e-9, "not_ties": 0}
TIE = 1e-4
"""a position is a tie if Optimum's own two logits are no further apart: float32 sums of another order differ by it"""


@dataclass(frozen=True)
class Difference:
    """Over every position; logits are differences' absolute values, KL is in nats."""

    positions: int
    largest: float
    mean: float
    KL: float
    disagreements: int
    """positions whose most likely token is another"""
    not_ties: int
    """those of them where Optimum prefers its own by more than `TIE`"""

    def holds(self) -> dict[str, bool]:
        """Which bars do."""
        return {name: getattr(self, name) <= bar for name, bar in BARS.items()}


class Graph:
    """A decoder graph under Optimum's names, run on whole windows without a past."""

    def __init__(self, path: Path, threads: int, *, ours: bool) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._first = ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.int64))  # lives as long as the session
        if ours:
            options.add_initializer("logits_from", self._first)
        self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name: each.shape for each in self._session.get_inputs()}

    def logits(self, tokens: tuple[int, ...], head_dim: int) -> Float64:
        """Float64 [n, vocab]."""
        n = len(tokens)
        feeds = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, n), np.int64),
            "position_ids": np.arange(n, dtype=np.int64)[None],
        }
        past = {
            name: np.zeros((1, shape[1], 0, head_dim), np.float32)
            for name, shape in self._inputs.items()
            if name.startswith("past_key_values.")
        }
        given = {name: value for name, value in (feeds | past).items() if name in self._inputs}
        found: Float64 = self._session.run(["logits"], given)[0][0].astype(np.float64)
        if len(found) != n:
            raise SmolshipError(f"the graph gave logits of {len(found)} positions for {n} tokens")
        return found


def difference(pairs: Iterable[tuple[Float64, Float64]]) -> Difference:
    """Of pairs of Optimum's logits and ours, float64 [n, vocab] each, one pair at a time."""
    largest, disagreements, not_ties = 0.0, 0, 0
    means, divergences = list[Float64](), list[Float64]()
    for theirs, ours in pairs:
        apart = np.abs(theirs - ours)
        largest = max(largest, float(apart.max()))
        means.append(apart.mean(axis=-1))
        expected, found = log_softmax(theirs), log_softmax(ours)
        divergences.append((np.exp(expected) * (expected - found)).sum(axis=-1))
        first, other = theirs.argmax(axis=-1), ours.argmax(axis=-1)
        rows = np.arange(len(theirs))
        disagreements += int((first != other).sum())
        not_ties += int((theirs[rows, first] - theirs[rows, other] > TIE).sum())
    mean, kl = np.concatenate(means), np.concatenate(divergences)
    return Difference(len(mean), largest, float(mean.mean()), float(kl.mean()), disagreements, not_ties)


def log_softmax(logits: Float64) -> Float64:
    """Of each row; float64 throughout, because the divergence sought is below what float32 resolves."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: Float64 = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def compare(checkpoint: Checkpoint, theirs: Path, ours: Path, text: Windows, threads: int) -> Difference:
    """Both files over every window."""
    head_dim = checkpoint.architecture.head_dim
    one, other = Graph(theirs, threads, ours=False), Graph(ours, threads, ours=True)
    return difference((one.logits(tokens, head_dim), other.logits(tokens, head_dim)) for tokens in text.tokens)


def prove(options: argparse.Namespace) -> dict[str, Any]:
    """Make both files, compare them; everything that is written down."""
    from smolship.export.onnx.graph import float_graph
    from smolship.export.onnx.write import write_model

    checkpoint = open_checkpoint(options.checkpoint)
    text = windows(checkpoint.tokenizer, options.text, count=options.windows)
    shop = open_workshop(checkpoint, options.work)
    with tempfile.TemporaryDirectory(prefix="onnx-proof-", dir=shop.work) as folder:
        ours = Path(folder) / "model.onnx"
        with quiet():
            theirs = shop.made("optimum", optimum) / "model.onnx"
            write_model(float_graph(checkpoint), ours)
        found = compare(checkpoint, theirs, ours, text, options.threads)
    return {
        "checkpoint": checkpoint.name,
        "versions": {name: version(name) for name in ("onnxruntime", "optimum-onnx", "transformers", "smolship")},
        "text": text.text.model_dump(),
        **asdict(found),
        "bars": BARS,
        "holds": found.holds(),
    }


def main() -> None:
    """Parse, prove, print."""
    parser = argparse.ArgumentParser(description="the fused ONNX graph against Optimum's export, both in float32")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--work", type=Path, default=Path("build/foreign"))
    parser.add_argument("--text", default="prose", help="prose, or a UTF-8 file (.gz or not)")
    parser.add_argument("--windows", type=int, default=COUNT)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        record = prove(options)
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")
    print(f"{record['checkpoint']}: {record['positions']} positions of {record['text']['name']}")
    for name, bar in BARS.items():
        print(f"{name:9} {record[name]:.3g} (at most {bar:g}): {'holds' if record['holds'][name] else 'FAILS'}")
    print(f"top-1 differs at {record['disagreements']} positions")
    if options.json:
        write_atomically(options.json, (json.dumps(record, indent=2) + "\n").encode())
    if not all(record["holds"].values()):
        parser.exit(SmolshipError.exit_code)


if __name__ == "__main__":
    main()
