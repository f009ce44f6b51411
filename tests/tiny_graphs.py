"""Graphs of a few lines for tests of graph passes, and ONNX Runtime to run them."""

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from smolship.checkpoint import EMBEDDING, Architecture
from smolship.export.onnx.passes import Pass
from smolship.export.onnx.passes.last_logits import LOGITS_FROM
from smolship.quantize import Blocks
from smolship.quantize.grids import grid_named

ARCHITECTURE = Architecture(
    vocabulary=96, hidden=64, intermediate=128, layers=1, heads=4, kv_heads=2, head_dim=16, rope_theta=1e5,
    norm_epsilon=1e-5, max_positions=64, bos_id=1, end_ids=(2,), pad_id=2,
)  # fmt: skip

TIED = f"""
    <ir_version: 8, opset_import: ["" : 18, "smolship" : 1]>
    tied (int64[batch, n] ids) => (float[batch, n, v] logits) {{
        x = smolship.Embedding<name = "{EMBEDDING}">(ids)
        y = Mul(x, x)
        logits = smolship.Linear<name = "{EMBEDDING}">(y)
    }}
"""

PLAIN = """
    <ir_version: 8, opset_import: ["" : 18]>
    plain (float[n, 64] x) => (float[n, 64] y) { y = Mul(x, x) }
"""

FIRST = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.int64))
"""`logits_from` of a session that gives every position's logits, which reads it as long as it lives"""


def blocks(grid: str, rows: int = 96, row: int = 64) -> Blocks:
    """Random codes under random scales, and zero points if the grid has them."""
    random = np.random.default_rng(0)
    scales = np.abs(random.standard_normal((rows, row // 32))).astype(np.float16).astype(np.float32) + np.float32(0.25)
    kind = grid_named(grid)
    codes = random.integers(kind.low, kind.high, (rows, row), np.int8, endpoint=True)
    scales = scales.astype(np.float16).astype(np.float32)
    zero_points = random.integers(0, 16, scales.shape).astype(np.float32)
    return Blocks(codes, scales, grid, -zero_points * scales if kind.affine else None)


def data(model: ir.Model) -> bytes:
    """The model as bytes, equal for equal models."""
    found: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return found


def unchanged(step: Pass, model: ir.Model) -> bool:
    """Whether the pass says that it changed nothing, and the model's bytes say so too."""
    before = data(model)
    model, changed = step(model)
    return changed is False and data(model) == before


def operators(model: ir.Model) -> list[str]:
    """Every node's operator, in order."""
    return [node.op_type for node in model.graph]


def session(model: ir.Model | bytes | str, *, every: bool = False, folded: str = "") -> onnxruntime.InferenceSession:
    """Plain ONNX Runtime; `every` position's logits, and the graph as it is after loading written to `folded`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    options.optimized_model_filepath = folded
    if every:
        options.add_initializer(LOGITS_FROM, FIRST)
    source = data(model) if isinstance(model, ir.Model) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(model: ir.Model, **feeds: NDArray[np.generic]) -> NDArray[np.float32]:
    """The first output."""
    found: NDArray[np.float32] = session(model).run(None, feeds)[0]
    return found
