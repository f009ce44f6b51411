"""Where the time of this project's ONNX file goes: ONNX Runtime's own profile, and what decoding gains without a part.

    python benchmarks/onnx_profile.py [--recipe q4] [--threads 2] [--rounds 30] [--json FILE]

The profile is of decoding and of a prompt of 512 tokens, by operator. A profile charges every node some microseconds of
its own; so each part is also taken out of the graph (what it computes is nonsense then), and the whole and what is left
decode in turns: the ratio is the most that any faster form of that part could give.
"""

import argparse
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from peers_ratios import ratio_of
from rich.console import Console
from rich.table import Table

from smolship.checkpoint import open_checkpoint
from smolship.export.onnx.genai_config import CHUNK
from smolship.export.onnx.graph import quantized_graph
from smolship.export.onnx.passes.walk import drop_unused
from smolship.export.onnx.write import write_model
from smolship.quantize import quantize
from smolship.quiet import quiet
from smolship.runtime_checks.probe.onnx_cache import Shared

PROMPT, STEPS, PREFILL, CONTEXT = 64, 24, 512, 1024


class Runner:
    """A session with one KV buffer; tokens are whatever they are, for nothing here depends on them."""

    def __init__(self, path: Path, threads: int, profile: Path | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._cache, self._value = Shared(self.session, 64, CONTEXT), ort.OrtValue.ortvalue_from_numpy
        self._taken = {each.name for each in self.session.get_inputs()}

    def run(self, start: int, count: int) -> None:
        """Tokens at the positions from `start` on."""
        given = {
            "input_ids": np.arange(start, start + count)[None] + 100,
            "attention_mask": np.ones((1, start + count), np.int64),
            "position_ids": np.arange(start, start + count)[None],
        }
        self._cache.run(self.session, {k: self._value(v) for k, v in given.items() if k in self._taken})

    def decode(self) -> float:
        """Tokens a second of `STEPS` steps after `PROMPT` tokens that are in the cache."""
        begin = perf_counter()
        for step in range(STEPS):
            self.run(PROMPT + step, 1)
        return STEPS / (perf_counter() - begin)

    def prefill(self) -> None:
        """A prompt, in the chunks that it ships with."""
        for start in range(0, PREFILL, CHUNK):
            self.run(start, CHUNK)


def profile(path: Path, threads: int, work: Callable[[Runner], object], tokens: int) -> dict[str, float]:
    """Microseconds a token by operator, in the kernels, most first."""
    with tempfile.TemporaryDirectory() as place:
        runner = Runner(path, threads, Path(place, "profile"))
        runner.run(0, PROMPT)
        work(runner)
        events = json.loads(Path(runner.session.end_profiling()).read_text(encoding="utf-8"))
    runs = [each for each in events if each["name"] == "model_run"]
    begin = runs[1]["ts"]  # after the prompt
    found: dict[str, float] = defaultdict(float)
    for each in events:
        if each["cat"] == "Node" and each["name"].endswith("_kernel_time") and each["ts"] >= begin:
            found[each["args"]["op_name"]] += each["dur"] / tokens
    return dict(sorted(found.items(), key=lambda line: -line[1]))


def without(model: ir.Model, part: str) -> ir.Model:
    """The graph with every node of that part bypassed: a value of the right shape stands in for what it made."""
    graph = model.graph
    for node in list(graph):
        if part == "attention" and node.op_type == "GroupQueryAttention":
            _bypass_attention(graph, node)
        elif part == "norms" and node.op_type == "SkipSimplifiedLayerNormalization":
            added = ir.node("Add", list(node.inputs[:2]))
            graph.insert_before(node, added)
            for index in (0, 3):
                ir.convenience.replace_all_uses_with(node.outputs[index], added.outputs[0])
        elif part == "activation" and node.op_type == "QuickGelu" and node.inputs[0] is not None:
            product = node.outputs[0].consumers()[0]
            ir.convenience.replace_all_uses_with(product.outputs[0], node.inputs[0])
    drop_unused(graph)
    return model


def _bypass_attention(graph: ir.Graph, node: ir.Node) -> None:
    """Queries go on as they are, keys and values nowhere."""
    packed, caches = node.inputs[0], set(node.outputs[1:])
    heads, shared = (node.attributes[name].as_int() for name in ("num_heads", "kv_num_heads"))
    sizes = ir.tensor(np.array([heads * 64, 2 * shared * 64], np.int64))
    constant = ir.node("Constant", [], {"value": sizes})
    split = ir.node("Split", [packed, constant.outputs[0]], {"axis": -1}, num_outputs=2)
    graph.insert_before(node, [constant, split])
    ir.convenience.replace_all_uses_with(node.outputs[0], split.outputs[0])
    for value in [value for value in graph.outputs if value in caches]:
        graph.outputs.remove(value)
    past = set(node.inputs[3:5])
    graph.remove(node, safe=False)
    for value in [value for value in graph.inputs if value in past]:
        graph.inputs.remove(value)


PARTS = ("attention", "norms", "activation")


def measure(recipe: str, threads: int, rounds: int) -> dict[str, Any]:
    """Build, profile, and let the whole and what is left of it decode in turns."""
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="smolship-profile-") as place:
        with quiet():
            model = quantize(open_checkpoint("embedded"), recipe, ("onnx",))
            paths = {part: Path(place, f"{part}.onnx") for part in ("whole", *PARTS)}
            for part, path in paths.items():
                write_model(without(quantized_graph(model), part), path)
        whole = paths["whole"]
        found: dict[str, Any] = {
            "decode": profile(whole, threads, Runner.decode, STEPS),
            "prefill": profile(whole, threads, Runner.prefill, PREFILL),
        }
        runners = {part: Runner(path, threads) for part, path in paths.items()}
        speeds: dict[str, list[float]] = {part: [] for part in runners}
        for turn in range(rounds + 1):
            for part in list(runners)[:: 1 if turn % 2 else -1]:
                runners[part].run(0, PROMPT)
                speed = runners[part].decode()
                if turn:  # the first round warms up
                    speeds[part].append(speed)
    gains = {part: ratio_of(speeds[part], speeds["whole"]) for part in PARTS}
    kept = {"recipe": recipe, "threads": threads, "rounds": rounds, "onnxruntime": ort.__version__}
    return {**kept, "load_before": before, "load_after": os.getloadavg(), **found, "gains": gains}


def show(found: dict[str, Any]) -> None:
    """Two tables."""
    console = Console()
    table = Table("operator", "decode, µs a token", "prefill, µs a token", title=f"{found['recipe']}, in kernels")
    for name in [name for name, time in found["decode"].items() if time >= 5 or found["prefill"].get(name, 0) >= 5]:
        table.add_row(name, f"{found['decode'][name]:.0f}", f"{found['prefill'].get(name, 0):.0f}")
    console.print(table)
    table = Table("without", "decodes, times as fast", "95 % interval")
    for part, (median, low, high) in found["gains"].items():
        table.add_row(part, f"{median:.2f}", f"{low:.2f} to {high:.2f}")
    console.print(table)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="where the time of an ONNX file goes")
    parser.add_argument("--recipe", default="q4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.recipe, options.threads, options.rounds)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
