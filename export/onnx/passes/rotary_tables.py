"""Cosines and sines of every position: some nodes in the file, tables when it is loaded."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.export.onnx.weights import add_initializer

COS, SIN = "rotary.cos", "rotary.sin"


def rotary_tables(graph: ir.Graph, a: Architecture) -> tuple[ir.Value, ir.Value]:
    """The cosine and sine of position · theta^(-2i / head_dim), float32 [max_positions, head_dim / 2] (Su et al. 2021).

    The file has the frequencies alone: ONNX Runtime folds the nodes into tables when it loads the model. Stored, they
    would take 2 MB for 8,192 positions; in float16 half of that, and be wrong by 0.0005.
    """
    known = [value for node in graph for value in node.outputs if value.name in (COS, SIN)]
    if known:
        return known[0], known[1]
    constants = {"zero": np.float32(0), "end": np.float32(a.max_positions), "one": np.float32(1)}
    ends = [add_initializer(graph, f"rotary.{name}", np.array(each)) for name, each in constants.items()]
    positions = ir.node("Range", ends, name="rotary/positions")
    axis = add_initializer(graph, "rotary.axis", np.array([1], np.int64))
    column = ir.node("Unsqueeze", [positions.outputs[0], axis], name="rotary/column")
    by = add_initializer(graph, "rotary.frequencies", _frequencies(a)[None])
    angles = ir.node("Mul", [column.outputs[0], by], name="rotary/angles")
    tables = [ir.node(operator, [angles.outputs[0]], name=f"rotary/{operator}") for operator in ("Cos", "Sin")]
    for node, name in zip(tables, (COS, SIN), strict=True):
        node.outputs[0].name = name
    graph.insert_before(graph[0], [positions, column, angles, *tables])
    return tables[0].outputs[0], tables[1].outputs[0]


def _frequencies(a: Architecture) -> NDArray[np.float32]:
    """theta^(-2i / head_dim), float32 [head_dim / 2], by torch and so to the last bit what transformers computes.

    NumPy's power differs in that bit here and there, which is 0.0005 radians at position 8,000.
    """
    import torch

    exponents = torch.arange(0, a.head_dim, 2, dtype=torch.int64).float() / a.head_dim
    return np.asarray((1.0 / a.rope_theta**exponents).numpy(), np.float32)
