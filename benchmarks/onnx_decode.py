"""Decode speed of this project's ONNX file beside Optimum's own graph with ONNX Runtime's MatMulNBits quantiser.

    python benchmarks/onnx_decode.py [--checkpoint embedded] [--recipe q4] [--rounds 10] [--json FILE]

Both files are built from the same checkpoint and run in one process, taking turns: in each round both decode the same
number of tokens after the same prompt, and the order swaps from round to round, so that load on the machine meets both.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from smolship.checkpoint import Architecture, Checkpoint, open_checkpoint
from smolship.quantize import quantize
from smolship.quiet import quiet

PROMPT, TOKENS, CONTEXT = 64, 48, 2048


@dataclass(frozen=True)
class Result:
    """One comparison; speeds in tokens per second, one entry a round."""

    checkpoint: str
    recipe: str
    threads: int
    ours_mb: float
    peer_mb: float
    ours: list[float]
    peer: list[float]
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]

    def ratio(self) -> tuple[float, float, float]:
        """The median of the rounds' ratios ours / peer, and the 95 % bootstrap interval of that median."""
        ratios = np.array(self.ours) / np.array(self.peer)
        random = np.random.default_rng(0)
        medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
        low, high = np.percentile(medians, [2.5, 97.5])
        return float(np.median(ratios)), float(low), float(high)


class Runner:
    """A decoder session under Optimum's names of inputs and outputs, its KV cache kept as the runtime's values."""

    def __init__(self, path: Path, a: Architecture, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._value = ort.OrtValue.ortvalue_from_numpy
        self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._past = [x.name for x in self._session.get_inputs() if x.name.startswith("past_key_values.")]
        self._present = [name.replace("past_key_values", "present") for name in self._past]
        self._empty = np.zeros((1, a.kv_heads, 0, a.head_dim), np.float32)

    def decode_speed(self, prompt: list[int], count: int) -> float:
        """Tokens per second of `count` greedy steps after `prompt`, the prompt itself not timed."""
        cache = {name: self._value(self._empty) for name in self._past}
        logits, cache = self._step(prompt, 0, cache)
        begin = time.perf_counter()
        for position in range(len(prompt), len(prompt) + count):
            logits, cache = self._step([int(logits.argmax())], position, cache)
        return count / (time.perf_counter() - begin)

    def _step(self, tokens: list[int], start: int, cache: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        end = start + len(tokens)
        feeds = {
            "input_ids": self._value(np.array([tokens], np.int64)),
            "attention_mask": self._value(np.ones((1, end), np.int64)),
            "position_ids": self._value(np.arange(start, end, dtype=np.int64)[None]),
            **cache,
        }
        logits, *present = self._session.run_with_ort_values(["logits", *self._present], feeds)
        return logits.numpy()[0, -1], dict(zip(self._past, present, strict=True))


def build_ours(checkpoint: Checkpoint, recipe: str, folder: Path) -> Path:
    """This project's file."""
    from smolship.export.onnx import MODEL_FILE, pack

    pack(quantize(checkpoint, recipe, ("onnx",)), folder, CONTEXT)
    return folder / MODEL_FILE


def build_peer(checkpoint: Checkpoint, bits: int, folder: Path) -> Path:
    """Optimum's float32 export of the same weights, its MatMuls quantised in blocks of 32 by onnxruntime's own tool."""
    import onnx
    import torch
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from optimum.exporters.onnx import onnx_export_from_model
    from transformers import LlamaForCausalLM

    from smolship.export.onnx.skeleton import llama_config

    a = checkpoint.architecture
    model = LlamaForCausalLM(llama_config(a))
    weights = {name: torch.from_numpy(np.array(checkpoint.tensors.read(name))) for name in a.shapes()}
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    onnx_export_from_model(model, folder, task="text-generation-with-past", do_validation=False)
    tool = MatMulNBitsQuantizer(
        onnx.load(folder / "model.onnx"), bits=bits, block_size=32, is_symmetric=True, accuracy_level=4
    )
    tool.process()
    tool.model.save_model_to_file(str(folder / "quantised.onnx"))
    return folder / "quantised.onnx"


def compare(spec: str, recipe: str, rounds: int, threads: int) -> Result:
    """Build both files in a temporary folder and let them take turns."""
    with tempfile.TemporaryDirectory(prefix="smolship-bench-") as work:
        with quiet():
            checkpoint = open_checkpoint(spec)
            folders = [Path(work, name) for name in ("ours", "peer")]
            for folder in folders:
                folder.mkdir()
            paths = [
                build_ours(checkpoint, recipe, folders[0]),
                build_peer(checkpoint, 8 if recipe == "q8" else 4, folders[1]),
            ]
        runners = [Runner(path, checkpoint.architecture, threads) for path in paths]
        prompt = np.random.default_rng(0).integers(17, checkpoint.architecture.vocabulary, PROMPT).tolist()
        before = os.getloadavg()
        speeds: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds + 1):
            for which in (0, 1) if turn % 2 else (1, 0):
                speed = runners[which].decode_speed(prompt, TOKENS)
                if turn:  # the first round warms up
                    speeds[which].append(speed)
        ours_mb, peer_mb = (path.stat().st_size / 1e6 for path in paths)
    return Result(checkpoint.name, recipe, threads, ours_mb, peer_mb, speeds[0], speeds[1], before, os.getloadavg())


def show(result: Result) -> None:
    """The comparison as a table."""
    table = Table(
        "file", "MB", "decode tok/s, median (min–max)", title=f"{result.checkpoint}, {result.threads} threads"
    )
    for name, size, speeds in (
        (f"smolship {result.recipe}", result.ours_mb, result.ours),
        ("Optimum graph + MatMulNBits", result.peer_mb, result.peer),
    ):
        table.add_row(name, f"{size:.1f}", f"{statistics.median(speeds):.1f} ({min(speeds):.1f}–{max(speeds):.1f})")
    median, low, high = result.ratio()
    console = Console()
    console.print(table)
    console.print(f"ratio {median:.2f}, 95 % interval {low:.2f} to {high:.2f}, {len(result.ours)} rounds")
    console.print(f"load of the machine: {result.load_before[0]:.1f} before, {result.load_after[0]:.1f} after")


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description="ONNX decode speed beside Optimum's graph")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--recipe", default="q4")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = compare(options.checkpoint, options.recipe, options.rounds, options.threads)
    show(result)
    if options.json:
        median, low, high = result.ratio()
        record = asdict(result) | {"ratio": median, "ratio_low": low, "ratio_high": high}
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
