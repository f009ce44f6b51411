"""Read the quantised tensors back from model.onnx alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smolship.errors import InputError
from smolship.export.onnx.pack import MODEL_FILE
from smolship.export.onnx.packing import unpack_codes, unpack_minimums
from smolship.quantize.blocks import Blocks
from smolship.quantize.grids import grid_named

if TYPE_CHECKING:
    import onnx_ir as ir


class _At(NamedTuple):
    """Which inputs of an operator are which."""

    codes: int
    scales: int
    zero_points: int


_INPUTS = {"MatMulNBits": _At(1, 2, 3), "GatherBlockQuantized": _At(0, 2, 3)}


def unpack(folder: Path) -> dict[str, Blocks]:
    """The blocks of every `MatMulNBits` and `GatherBlockQuantized` by Hugging Face name, as the operators read them.

    `InputError` if an embedding and its tied head do not read the same numbers, or a weight is not constant.
    """
    import onnx_ir as ir  # here: what a file takes is foreseen without it

    from smolship.export.onnx.weights import CODES, GRID_KEY, ROWS_KEY, parted

    model = ir.load(folder / MODEL_FILE)
    found: dict[str, Blocks] = {}
    for node in model.graph.all_nodes():
        if node.op_type not in _INPUTS:
            continue
        at = _INPUTS[node.op_type]
        codes = node.inputs[at.codes]
        packed = None if codes is None else codes.const_value
        if codes is None or packed is None or not str(codes.name).endswith(CODES):
            raise InputError(f"{MODEL_FILE}: {node.name} multiplies by something that is not a constant of codes")
        tensors = parted(str(codes.name).removesuffix(CODES))
        grid = model.metadata_props[GRID_KEY + tensors[0]]
        scales = _constant(node.inputs[at.scales]).astype(np.float32)
        zero_points = node.inputs[at.zero_points] if len(node.inputs) > at.zero_points else None
        minimums = None
        if zero_points is not None and grid_named(grid).affine:
            minimums = unpack_minimums(_constant(zero_points), scales)
        elif zero_points is not None and not _is_middle(zero_points):
            raise InputError(f"{MODEL_FILE}: {node.name} has zero points that are not those of the grid {grid}")
        whole, start = unpack_codes(packed.numpy(), grid), 0
        for name in tensors:
            rows = slice(start, start := start + int(model.metadata_props[ROWS_KEY + name]))
            blocks = Blocks(whole[rows], scales[rows], grid, None if minimums is None else minimums[rows])
            if not blocks.same_as(found.setdefault(name, blocks)):
                raise InputError(f"{MODEL_FILE}: {node.name} reads {name} otherwise than another node does")
    return found


def _is_middle(zero_points: "ir.Value") -> bool:
    """Whether they are the 8 that a symmetric grid has anyway."""
    from smolship.export.onnx.weights import MIDDLE

    producer = zero_points.producer()
    if producer is None or producer.op_type != "ConstantOfShape":
        return False
    return bool((producer.attributes["value"].as_tensor().numpy() == MIDDLE).all())


def _constant(value: "ir.Value | None") -> NDArray[Any]:
    """The constant behind the nodes that stand between it and its operator (a cast, reshapes, taking nibbles apart)."""
    while value is not None and value.const_value is None:
        producer = value.producer()
        value = producer.inputs[0] if producer is not None else None
    if value is None or value.const_value is None:
        raise InputError(f"{MODEL_FILE}: a quantised weight's scales or zero points are not constant")
    return value.const_value.numpy()
