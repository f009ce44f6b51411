"""What a tensor on a grid takes in each format's model file, and the grids that are weighed against one another."""

from collections.abc import Callable
from dataclasses import dataclass

from smolship.checkpoint import EMBEDDING, HEAD, Architecture
from smolship.errors import unknown_name
from smolship.quantize.grids import Grid, grid_named

Shape = tuple[int, int]
"""rows and columns, [out, in]"""


@dataclass(frozen=True)
class Matrix:
    """What of a tensor decides its bytes."""

    name: str
    shape: Shape
    tied: bool = False
    """it is gathered from and multiplied by: an embedding that is the head too"""


@dataclass(frozen=True)
class Storage:
    """One format's costs."""

    grids: tuple[str, ...]
    """those worth weighing, a handful: each is tried on every tensor whose rows it divides"""
    bytes_of: Callable[[Matrix, Grid], int]
    """what a tensor takes on a grid"""


def _gguf(tensor: Matrix, grid: Grid) -> int:
    """Rows of blocks, the whole tensor padded to `general.alignment`; exact."""
    return rounded_up(payload(tensor.shape, grid), 32)


def _onnx(tensor: Matrix, grid: Grid) -> int:
    """Codes, float16 scales and packed zero points: exact, and at most so much for what names and counts them.

    A second operand has its name in the initialiser and at each node that reads it; lengths are of variable width.
    """
    frame = 8 if not grid.affine else 1280 if tensor.name == EMBEDDING else 256
    return payload(tensor.shape, grid) + frame


SPLITTING = {"v_proj.weight": 576, "up_proj.weight": 832, "down_proj.weight": 1_184, EMBEDDING: 128, HEAD: 640}
"""bytes of XNNPACK's graph by what splits the inputs of 8-bit matrices into two parts; q, k and v share theirs. A tied
embedding's are counted over those that exchange the columns of one of 4 bits."""


def _executorch(tensor: Matrix, grid: Grid) -> int:
    """Codes and scales, each a segment of its own; a tied matrix's codes once, its scales for gather and head."""
    codes = tensor.shape[0] * tensor.shape[1] * grid.bits // 8
    scales = payload(tensor.shape, grid) - codes
    split = grid.bits == 8 and (tensor.tied or tensor.name != EMBEDDING)
    splitting = sum(size for which, size in SPLITTING.items() if split and tensor.name.endswith(which))
    stored = rounded_up(codes, 128) + rounded_up(scales, 128) * (2 if tensor.tied else 1)
    return stored + splitting


STORAGES: dict[str, Storage] = {
    # Of several grids of one size the sensitivities say which is best for a tensor. K-quants need rows of 256·n.
    "gguf": Storage(("q4_0", "iq4_nl", "q4_k", "q5_0", "q5_k", "q5_1", "q6_k", "int8-b32"), _gguf),
    "onnx": Storage(("int4-b32", "uint4-b32", "int8-b32"), _onnx),
    "executorch": Storage(("int4-b32", "int8-row"), _executorch),
}


def sizes_of(architecture: Architecture, format_name: str) -> dict[str, dict[str, int]]:
    """The bytes of every matrix on every grid of the format that divides its rows, in file order.

    With what a file holds besides they are the model file's size: exactly in GGUF, at most in ONNX and ExecuTorch.
    """
    if format_name not in STORAGES:
        raise unknown_name("format", format_name, list(STORAGES))
    storage = STORAGES[format_name]
    grids = [grid_named(name) for name in storage.grids]
    return {
        matrix.name: {grid.name: storage.bytes_of(matrix, grid) for grid in grids if _divides(grid, matrix.shape)}
        for matrix in matrices_of(architecture)
    }


def matrices_of(architecture: Architecture) -> list[Matrix]:
    """Every matrix of a model, in file order."""
    tied = EMBEDDING if architecture.tied else None
    shapes = architecture.shapes().items()
    return [Matrix(name, (shape[0], shape[1]), name == tied) for name, shape in shapes if len(shape) == 2]


def alternating(sizes: dict[str, dict[str, int]]) -> dict[str, str]:
    """Tensors in turns on their two smallest plain grids: what a file's fixed bytes are found with.

    Neighbours on one grid may be stored together, which takes fewer bytes (q, k and v): so these are the most.
    Plain grids have neither minimums nor super-scales, which noise would lack.
    """
    found = {}
    for turn, (tensor, of_grids) in enumerate(sizes.items()):
        plain = [name for name in of_grids if not (grid_named(name).affine or grid_named(name).super_group)]
        ranked = sorted(plain, key=of_grids.__getitem__)
        found[tensor] = ranked[min(turn % 2, len(ranked) - 1)]
    return found


def _divides(grid: Grid, shape: tuple[int, ...]) -> bool:
    return shape[1] % (grid.super_group or grid.group_size or 1) == 0


def payload(shape: Shape, grid: Grid) -> int:
    """Codes, scales and offsets, packed densely; a whole number of bytes on every grid."""
    return round(shape[0] * shape[1] * grid.bits_per_weight(shape[1]) / 8)


def rounded_up(count: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-count // unit) * unit
