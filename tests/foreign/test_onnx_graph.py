"""How every weight of a graph is stored, whatever reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smolship.errors import InputError
from smolship.foreign.onnx_graph import Graph, read_graph

ROWS, COLUMNS, BLOCK = 320, 64, 32


def read(folder: Path, nodes: list[onnx.NodeProto], *, logits: tuple[int | str, ...] = (1, "n", ROWS)) -> Graph:
    """The graph of these nodes, with every tensor that they name: codes of 4 and 8 bits, scales, zero points."""
    tensors: dict[str, NDArray[Any]] = {
        "codes4": np.zeros((ROWS, COLUMNS // BLOCK, BLOCK // 2), np.uint8),
        "flat": np.array([ROWS, COLUMNS // 2], np.int64),
        "scales": np.ones((ROWS, COLUMNS // BLOCK), np.float32),
        "zeros4": np.zeros((ROWS, 1), np.uint8),
        "codes8": np.zeros((COLUMNS, ROWS), np.int8),
        "scale8": np.ones((), np.float32),
        "half": np.ones((COLUMNS, ROWS), np.float16),
        "gain": np.ones(COLUMNS, np.float32),
        "epsilon": np.full((), 1e-5, np.float32),
        "axes": np.arange(COLUMNS),
    }
    named = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items() if name in named],
    )
    onnx.save(helper.make_model(graph, producer_name="p", producer_version="2"), folder / "model.onnx")
    return read_graph(folder / "model.onnx")


def grids(graph: Graph) -> dict[str, tuple[tuple[int, ...], str, float]]:
    return {line.tensor: (line.shape, line.grid, line.bits_per_weight) for line in graph.coverage}


def test_an_embedding_and_a_head_that_share_their_codes_are_one_line(tmp_path: Path) -> None:
    block: dict[str, Any] = {"bits": 4, "block_size": BLOCK}
    nodes = [
        helper.make_node("Reshape", ["codes4", "flat"], ["rows"]),
        helper.make_node(
            "GatherBlockQuantized", ["rows", "input_ids", "scales"], ["x"], domain="com.microsoft", **block
        ),
        helper.make_node("MatMulNBits", ["x", "codes4", "scales"], ["logits"], N=ROWS, K=COLUMNS, **block),
    ]
    graph = read(tmp_path, nodes)
    assert grids(graph) == {"codes4": ((ROWS, COLUMNS), "4 bits in blocks of 32, symmetric", 5.0)}
    assert (graph.inputs, graph.one_row, graph.producer, graph.data) == (("input_ids",), False, {"p": "2"}, {})


def test_zero_points_are_said_and_counted(tmp_path: Path) -> None:
    inputs = ["input_ids", "codes4", "scales", "zeros4"]
    node = helper.make_node("MatMulNBits", inputs, ["logits"], N=ROWS, K=COLUMNS, bits=4, block_size=BLOCK)
    (line,) = grids(read(tmp_path, [node])).values()
    assert line == ((ROWS, COLUMNS), "4 bits in blocks of 32, with zero points", 5.125)


def test_plain_weights_are_named_by_their_types_and_numbers_that_are_no_weights_are_left_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["codes8", "scale8"], ["w"]),
        helper.make_node("Mul", ["w", "half"], ["y"]),
        helper.make_node("Mul", ["y", "gain"], ["z"]),
        helper.make_node("Add", ["z", "epsilon"], ["a"]),
        helper.make_node("Gather", ["a", "axes"], ["logits"]),
    ]
    graph = read(tmp_path, nodes, logits=(1, 1, ROWS))
    eight = 8 + 32 / (COLUMNS * ROWS)
    assert grids(graph) == {
        "codes8": ((COLUMNS, ROWS), "DequantizeLinear of int8", eight),
        "half": ((COLUMNS, ROWS), "float16", 16.0),
        "gain": ((COLUMNS,), "float32", 32.0),
    }
    assert graph.one_row


def test_weights_in_constant_nodes_and_for_integer_products_are_seen(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones((COLUMNS, ROWS), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["inline"], value=constant),
        helper.make_node("MatMulInteger", ["input_ids", "codes8"], ["y"]),
        helper.make_node("MatMul", ["y", "inline"], ["logits"]),
    ]
    assert {name: grid for name, (_, grid, _) in grids(read(tmp_path, nodes)).items()} == {
        "inline": "float32",
        "codes8": "int8",
    }


def test_what_makes_no_sense_is_refused_and_a_circle_ends(tmp_path: Path) -> None:
    circle = [
        helper.make_node("Reshape", ["b", "axes"], ["a"]),
        helper.make_node("Reshape", ["a", "axes"], ["b"]),
        helper.make_node("DequantizeLinear", ["a", "scale8"], ["logits"]),
    ]
    assert read(tmp_path, circle).coverage == ()
    without = helper.make_node("MatMulNBits", ["input_ids", "codes4", "scales"], ["logits"], bits=4)
    with pytest.raises(InputError, match=r"model\.onnx has weights that make no sense \(KeyError: 'N'\)"):
        read(tmp_path, [without])
