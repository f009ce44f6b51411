"""How a quantised tensor stands in the graph: initialisers named after it, stored once whoever uses them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from smolship.export.onnx.packing import GRID_BITS, half_scales, pack_codes, pack_zero_points, packed_shape
from smolship.quantize.blocks import Blocks

BlocksOf = Callable[[str], Blocks]
"""The blocks of a tensor by its Hugging Face name."""

CODES = ".codes"
SCALES = ".scales"
ZERO_POINTS = ".zero_points"
GRID_KEY = "smolship.grid."
"""the model's metadata property that names a tensor's grid, followed by the tensor's name"""


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


def _add_packed(graph: ir.Graph, tensor: str, blocks: Blocks) -> ir.Value:
    """The initialiser of the codes, packed each time that it is read: the bytes are never held beside the blocks."""
    name, shape = tensor + CODES, ir.Shape(packed_shape(tensor, blocks))
    lazy = ir.LazyTensor(
        lambda: ir.tensor(pack_codes(blocks), name=name), dtype=ir.DataType.UINT8, shape=shape, name=name
    )
    value = ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.UINT8), const_value=lazy)
    graph.register_initializer(value)
    return value
