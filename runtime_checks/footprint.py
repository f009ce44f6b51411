"""What a runtime's process will take of memory, and what a token will read: predicted, before there is a file.

Weights and KV cache are arithmetic. What a runtime adds was measured with the probe on x86-64 under Linux, two threads:
135M as `make demo` builds it, 360M and 1.7B of random weights (`benchmarks/plan_sizes.py --memory`), 2026-11-26.
docs/how-to/plan.md says how far off it is.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from smolship.checkpoint import Architecture
from smolship.runtime_checks.job import FULL
from smolship.runtime_checks.probe.host import processor
from smolship.targets import Target

FLOAT16, FLOAT32 = 2, 4
_MB = 1_000_000


@dataclass(frozen=True)
class Stored:
    """What a model file holds, in bytes."""

    file: int
    """all of it"""
    matrices: Mapping[str, int]
    """codes, scales and offsets by grid, of all that activations are multiplied by: a tied embedding, as the head"""
    embedding: int
    """the embedding's: a part of them if it is tied, else beside them"""


@dataclass(frozen=True)
class Use:
    """What a process does with the model, in tokens."""

    context: int
    """what it is loaded for"""
    prompt: int
    """the most that it is given at once"""
    filled: int
    """the most that its KV cache holds"""


@dataclass(frozen=True)
class Process:
    """A process that has loaded its runtime and no model yet, in bytes."""

    anonymous: int
    file: int
    """of libraries; how much of them is resident varies with the page cache, by 60 MB for torch"""


@dataclass(frozen=True)
class Memory:
    """A process at its peak, in bytes."""

    before: Process
    anonymous: int
    """beyond `before`"""
    file: int
    """beyond `before`"""

    def metrics(self) -> dict[str, float]:
        """The metrics of memory, as `check` measures them."""
        anonymous, file = self.before.anonymous + self.anonymous, self.before.file + self.file
        return {
            "peak_memory": anonymous + file,
            "anonymous_memory": anonymous,
            "file_memory": file,
            "model_memory": self.anonymous + self.file,
        }


PYTHON: dict[str, Process] = {
    "gguf": Process(22_400_000, 27_500_000),
    "onnx": Process(24_400_000, 40_900_000),
    "executorch": Process(152_300_000, 148_500_000),
}
"""the probe in Python, by format: `after_imports` of `make demo`'s records; ExecuTorch's binding imports torch"""
NATIVE: dict[str, Process] = PYTHON | {"executorch": Process(400_000, 5_200_000)}
"""on devices: there the probe for ExecuTorch is in C++"""


@dataclass(frozen=True)
class Repacking:
    """Which grids llama.cpp copies into its own order when it loads a file, beside the mapped file."""

    machine: str
    feature: str
    """of the processor; one without it computes on the mapped file"""
    grids: tuple[str, ...]


REPACKINGS = (
    Repacking("x86_64", "avx2", ("int4-b32", "q4_0")),
    # By the names of the kernels in the library (q4_0_4x4, q8_0_4x4), not measured.
    Repacking("aarch64", "asimddp", ("int4-b32", "q4_0", "int8-b32")),
)

LAID_OUT: dict[str, tuple[float, int]] = {
    "int4-b32": (18, 28),
    "q4_0": (18, 28),
    "uint4-b32": (18.5, 28),
    "int8-b32": (34, 44),
}
"""A block of 32 weights in an ONNX file and in ONNX Runtime's memory, in bytes: there its scale and what its zero point
adds to a sum are float32, and the scale stays where it was loaded, too (onnxruntime 1.32, x86-64)."""

CACHED: dict[str, int] = {"gguf": FLOAT16, "onnx": FLOAT32, "executorch": FLOAT16}
"""bytes of a number in the KV cache: llama.cpp's default, and what the graphs of the others take"""

CHECKED = (max(FULL.prefill), FULL.first + FULL.decode)
"""tokens of the longest prompt that `check` measures memory with, and of the fullest cache it decodes with"""


def full(context: int) -> Use:
    """The context filled to the end, by prompts of at most as many tokens as `check` gives at once."""
    return Use(context, min(CHECKED[0], context), context)


def checked(context: int) -> Use:
    """What `check` and `smoke` do before they read the peak."""
    return Use(context, *(min(tokens, context) for tokens in CHECKED))


def cache_bytes(a: Architecture, format_name: str, tokens: int) -> int:
    """The keys and values of so many tokens."""
    return a.layers * a.kv_heads * a.head_dim * 2 * tokens * CACHED[format_name]


def repacked_bytes(stored: Stored, target: Target) -> int:
    """What llama.cpp holds twice on a target's processor; this machine's for a target of any architecture."""
    machine, features = target.device.architecture, target.device.cpu_features
    if machine == "any":
        machine, features = platform.machine(), tuple(processor()[1])
    for one in REPACKINGS:
        if one.machine == machine and one.feature in features:
            return sum(stored.matrices.get(grid, 0) for grid in one.grids)
    return 0


def memory_on(target: Target, format_name: str, stored: Stored, a: Architecture, use: Use) -> Memory:
    """The memory of a process that runs a file on a target as the probe does there."""
    before = (PYTHON if target.measured_here else NATIVE)[format_name]
    anonymous, file = _RUNTIMES[format_name](stored, a, use, repacked_bytes(stored, target))
    return Memory(before, anonymous, file)


def _llama_cpp(stored: Stored, a: Architecture, use: Use, repacked: int) -> tuple[int, int]:
    """The file is mapped. The cache has 256 tokens or a multiple; a batch of at most 512 passes through buffers."""
    cache = cache_bytes(a, "gguf", -(-use.context // 256) * 256)
    vocabulary = 385 * a.vocabulary  # tokens and merges in its maps: 18.9 MB
    batch = min(512, use.prompt) * FLOAT32 * (6 * a.hidden + 3 * a.intermediate)
    return repacked + cache + vocabulary + batch, stored.file + _MB * 3 // 2


def _onnx_runtime(stored: Stored, a: Architecture, use: Use, _repacked: int) -> tuple[int, int]:
    """Weights as its kernels want them, the embedding's once more for gather, the part of the cache that is filled.

    What remains was fitted: 15 MB, three tenths of the weights (what loading leaves), as much as a prompt's cache.
    """
    weights = sum(size * LAID_OUT[grid][1] / LAID_OUT[grid][0] for grid, size in stored.matrices.items())
    loaded = sum(stored.matrices.values()) + (0 if a.tied else stored.embedding)
    left = 15 * _MB + loaded * 3 // 10
    cache = cache_bytes(a, "onnx", max(use.prompt, use.filled)) + cache_bytes(a, "onnx", use.prompt)
    return int(weights) + stored.embedding + left + cache, _MB


def _executorch(stored: Stored, a: Architecture, use: Use, _repacked: int) -> tuple[int, int]:
    """XNNPACK's packed copies; the plan holds the cache, whatever it is filled with; the embedding is mapped for gather
    and head. Calls take at most 128 tokens; what passes between their operators was fitted.
    """
    packed, plan = sum(stored.matrices.values()), cache_bytes(a, "executorch", use.context)
    calls = 36 * 128 * FLOAT32 * (a.hidden + a.intermediate)
    return packed + plan + calls, stored.embedding + 7 * _MB


_RUNTIMES: dict[str, Callable[[Stored, Architecture, Use, int], tuple[int, int]]] = {
    "gguf": _llama_cpp,
    "onnx": _onnx_runtime,
    "executorch": _executorch,
}
"""by format: anonymous and file-backed bytes beyond the imports"""
