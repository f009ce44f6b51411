"""How a quantised tensor stands in the graph: initialisers named after it, stored once whoever uses them."""

from collections.abc import Callable
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


MIDDLE = 0x88
"""two zero points of 8"""


@dataclass(frozen=True)
class Stored:
    """A quantised tensor's values in the graph."""

    codes: ir.Value
    """packed, uint8 [out, in/32, bytes of a group]"""
    scales: ir.Value
    """float32 [out, in/32]"""
    zero_points: ir.Value | None
    """packed, uint8 [out, in/64] rounded up; symmetric grids have none"""
    bits: int


def add_initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """The initialiser of that name, made from `array` if the graph has none yet."""
    if name not in graph.initializers:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        graph.register_initializer(value)
    return graph.initializers[name]


def add_blocks(model: ir.Model, tensor: str, blocks: Blocks, before: ir.Node) -> Stored:
    """The values that `tensor` is stored in; a second call gives the same.

    The file keeps the scales in float16, which holds them exactly, behind a `Cast` to the activations' float32 (the
    CPU kernel takes no other): ONNX Runtime folds the cast when it loads the model. A session with every optimisation
    switched off does not, and the kernel of onnxruntime 1.32 then gives zeros without a word.
    """
    graph = model.graph
    codes = graph.initializers.get(tensor + CODES)
    if codes is None:
        codes = _add_packed(graph, tensor, blocks)
        half = add_initializer(graph, tensor + SCALES, half_scales(tensor, blocks))
        cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name=tensor + SCALES + "/Cast")
        cast.outputs[0].name = tensor + SCALES + ".float32"
        cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), half.shape
        graph.insert_before(before, cast)
        packed = pack_zero_points(tensor, blocks)
        if packed is not None:
            add_initializer(graph, tensor + ZERO_POINTS, packed)
        model.metadata_props[GRID_KEY + tensor] = blocks.grid
    scales = graph.initializers[tensor + SCALES].consumers()[0].outputs[0]
    return Stored(codes, scales, graph.initializers.get(tensor + ZERO_POINTS), GRID_BITS[blocks.grid])


def middle_zero_points(model: ir.Model, blocks: Blocks, before: ir.Node) -> ir.Value:
    """Zero points of 8 for a symmetric grid of 4 bits: uint8 [out · in/64], one value for all tensors of that size.

    They are what the operator takes by itself where none are given, and cost the file some bytes. But without them
    ONNX Runtime has Arm's KleidiAI multiply on a processor with the dot product, which quantises activations by rows
    instead of blocks of 32: measured on an emulated Cortex-A76 with SmolLM2-135M, that is 0.02 nats of KL divergence
    from what the same file computes on x86-64. With them all processors compute the same.
    """
    out, row = blocks.codes.shape
    count = out * -(-row // (2 * GROUP))
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


def _add_packed(graph: ir.Graph, tensor: str, blocks: Blocks) -> ir.Value:
    """The initialiser of the codes, packed each time that it is read: the bytes are never held beside the blocks."""
    name, shape = tensor + CODES, ir.Shape(packed_shape(tensor, blocks))
    lazy = ir.LazyTensor(
        lambda: ir.tensor(pack_codes(blocks), name=name), dtype=ir.DataType.UINT8, shape=shape, name=name
    )
    value = ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.UINT8), const_value=lazy)
    graph.register_initializer(value)
    return value
