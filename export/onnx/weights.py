"""How quantised tensors stand in the graph: initialisers named after them, stored once whoever uses them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from smolship.export.onnx.packing import GRID_BITS, GROUP, half_scales, pack_codes, pack_zero_points, packed_shape
from smolship.quantize.blocks import Blocks

BlocksOf = Callable[[str], Blocks]
"""The blocks of a tensor by its Hugging Face name."""

CODES = ".codes"
SCALES = ".scales"
ZERO_POINTS = ".zero_points"
GRID_KEY = "smolship.grid."
"""the model's metadata property that names a tensor's grid, followed by the tensor's name"""
ROWS_KEY = "smolship.rows."
"""and how many rows it has of the initialiser that it stands in, beside others perhaps"""

MIDDLE = 0x88
"""two zero points of 8"""


def joined(tensors: Sequence[str]) -> str:
    """What initialisers are named after that hold the rows of these tensors, one after another."""
    return "+".join(tensors)


def parted(name: str) -> list[str]:
    """The inverse of `joined`."""
    return name.split("+")


@dataclass(frozen=True)
class Stored:
    """The values in the graph of a tensor, or of several one below the other."""

    codes: ir.Value
    """packed, uint8 [out, in/32, bytes of a group]"""
    scales: ir.Value
    """float32 [out, in/32]"""
    zero_points: ir.Value | None
    """packed, uint8 [out, in/64] rounded up; symmetric grids have none"""
    bits: int
    rows: int
    """out"""
    row: int
    """in"""


def add_initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """The initialiser of that name, made from `array` if the graph has none yet."""
    if name not in graph.initializers:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        graph.register_initializer(value)
    return graph.initializers[name]


def add_blocks(model: ir.Model, name: str, blocks_of: BlocksOf, before: ir.Node) -> Stored:
    """The values that the tensors `name` names (see `joined`) are stored in; a second call gives the same.

    The file keeps the scales in float16, which holds them exactly, behind a `Cast` to the activations' float32 (the
    CPU kernel takes no other): ONNX Runtime folds the cast when it loads the model. A session with every optimisation
    switched off does not, and the kernel of onnxruntime 1.32 then gives zeros without a word.
    """
    graph, tensors = model.graph, parted(name)
    parts = {tensor: blocks_of(tensor) for tensor in tensors}
    codes = graph.initializers.get(name + CODES)
    if codes is None:
        codes = _add_packed(graph, name, parts)
        halves = np.concatenate([half_scales(tensor, blocks) for tensor, blocks in parts.items()])
        half = add_initializer(graph, name + SCALES, halves)
        cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name=name + SCALES + "/Cast")
        cast.outputs[0].name = name + SCALES + ".float32"
        cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), half.shape
        graph.insert_before(before, cast)
        zero_points = [pack_zero_points(tensor, blocks) for tensor, blocks in parts.items()]
        given = [each for each in zero_points if each is not None]
        if given:
            add_initializer(graph, name + ZERO_POINTS, np.concatenate(given))
        for tensor, blocks in parts.items():
            model.metadata_props[GRID_KEY + tensor] = blocks.grid
            model.metadata_props[ROWS_KEY + tensor] = str(len(blocks.codes))
    scales = graph.initializers[name + SCALES].consumers()[0].outputs[0]
    rows, row = sum(len(blocks.codes) for blocks in parts.values()), parts[tensors[0]].codes.shape[1]
    bits = GRID_BITS[parts[tensors[0]].grid]
    return Stored(codes, scales, graph.initializers.get(name + ZERO_POINTS), bits, rows, row)


def middle_zero_points(model: ir.Model, stored: Stored, before: ir.Node) -> ir.Value:
    """Zero points of 8 for a symmetric grid of 4 bits: uint8 [out · in/64], one value for all tensors of that size.

    They are what the operator takes by itself where none are given, and cost the file some bytes. But without them
    ONNX Runtime has Arm's KleidiAI multiply on a processor with the dot product, which quantises activations by rows
    instead of blocks of 32: measured on an emulated Cortex-A76 with SmolLM2-135M, that is 0.02 nats of KL divergence
    from what the same file computes on x86-64. With them all processors compute the same.
    """
    count = stored.rows * -(-stored.row // (2 * GROUP))
    name = f"zero_points_of_8.{count}"
    known = next((node for node in model.graph if node.name == name), None)
    if known is None:
        size = add_initializer(model.graph, f"{name}.count", np.array([count], np.int64))
        value = ir.tensor(np.array([MIDDLE], np.uint8))
        known = ir.node("ConstantOfShape", [size], {"value": value}, name=name)
        known.outputs[0].name = name
        known.outputs[0].type, known.outputs[0].shape = ir.TensorType(ir.DataType.UINT8), ir.Shape([count])
        model.graph.insert_before(before, known)
    return known.outputs[0]


def _add_packed(graph: ir.Graph, name: str, parts: dict[str, Blocks]) -> ir.Value:
    """The initialiser of the codes, packed each time that it is read: the bytes are never held beside the blocks."""
    shapes = [packed_shape(tensor, blocks) for tensor, blocks in parts.items()]
    shape = ir.Shape((sum(rows for rows, _, _ in shapes), *shapes[0][1:]))

    def packed() -> ir.TensorProtocol:
        return ir.tensor(np.concatenate([pack_codes(blocks) for blocks in parts.values()]), name=name + CODES)

    lazy = ir.LazyTensor(packed, dtype=ir.DataType.UINT8, shape=shape, name=name + CODES)
    value = ir.Value(name=name + CODES, shape=shape, type=ir.TensorType(ir.DataType.UINT8), const_value=lazy)
    graph.register_initializer(value)
    return value
