"""The layers of the exported graph that hold integers: a linear map and an embedding, both from `Blocks` and never re-quantised.

Each is written in exactly the operators that ExecuTorch recognises: `torchao`'s affine (de)quantisation around `linear` is what
the XNNPACK partitioner turns into a fully connected operator with dynamically quantised inputs, and
`quantized_decomposed.embedding_*` are kernels of ExecuTorch's quantised library.
"""

import numpy as np
import torch
import torchao.quantization.quant_primitives  # noqa: F401  (registers the torchao operators)
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the embedding operators)
from numpy.typing import NDArray
from torch import Tensor, nn

from smolship.errors import InputError
from smolship.quantize import Blocks

INT4_GROUP = "int4-b32"
INT8_ROW = "int8-row"

_SMALLEST_INPUT_SCALE = float(torch.finfo(torch.float32).eps)


def quantise_rows(x: Tensor) -> Tensor:
    """`x` [n, k] as XNNPACK sees it: every row rounded to 8 bits with its own scale and zero point, found at run time."""
    ops = torch.ops.torchao
    block = [1, x.shape[-1]]
    scale, zero_point = ops.choose_qparams_affine.default(
        x, "ASYMMETRIC", block, torch.int8, -128, 127, _SMALLEST_INPUT_SCALE, torch.float32, torch.int8
    )
    q = ops.quantize_affine.default(x, block, scale, zero_point, torch.int8, -128, 127)
    rows: Tensor = ops.dequantize_affine.default(q, block, scale, zero_point, torch.int8, -128, 127)
    return rows


class QuantisedLinear(nn.Module):
    """`x @ W.T` for inputs that `quantise_rows` has rounded; W is `codes · scales` on the grid int4-b32 or int8-row."""

    codes: Tensor
    scales: Tensor
    zeros: Tensor

    def __init__(self, name: str, blocks: Blocks) -> None:
        super().__init__()
        check_grid(name, blocks)
        self.block = [1, blocks.group_size]
        self.low, self.high = (-8, 7) if blocks.grid == INT4_GROUP else (-128, 127)
        self.register_buffer("codes", torch.from_numpy(np.ascontiguousarray(blocks.codes)))
        self.register_buffer("scales", torch.from_numpy(np.ascontiguousarray(blocks.scales, dtype=np.float32)))
        self.register_buffer("zeros", torch.zeros(blocks.scales.shape, dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.ops.torchao.dequantize_affine.default(
            self.codes, self.block, self.scales, self.zeros, torch.int8, self.low, self.high
        )
        return torch.nn.functional.linear(x, weight)


class QuantisedEmbedding(nn.Module):
    """Rows of the embedding, float32 [n, hidden], from the same integers as the head."""

    codes: Tensor
    scales: Tensor

    def __init__(self, name: str, blocks: Blocks) -> None:
        super().__init__()
        check_grid(name, blocks)
        self.four_bit = blocks.grid == INT4_GROUP
        if self.four_bit:
            self.register_buffer("codes", torch.from_numpy(pack_even_high(blocks.codes)))
            self.register_buffer("scales", torch.from_numpy(blocks.scales.astype(np.float16)))  # exact on this grid
        else:
            self.register_buffer("codes", torch.from_numpy(np.ascontiguousarray(blocks.codes)))
            self.register_buffer("scales", torch.from_numpy(np.ascontiguousarray(blocks.scales[:, 0], dtype=np.float32)))

    def forward(self, tokens: Tensor) -> Tensor:
        ops = torch.ops.quantized_decomposed
        if self.four_bit:
            rows: Tensor = ops.embedding_4bit.dtype(
                self.codes, self.scales, None, -8, 7, tokens, dtype=torch.float32
            )
            return rows
        rows = ops.embedding_byte.default(self.codes, self.scales, None, -128, 127, tokens)
        return rows


def pack_even_high(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Codes -8..7 [out, in] as two a byte [out, in / 2], plus 8, the even column in the high half (ExecuTorch's embedding_4bit)."""
    shifted = (codes + 8).astype(np.uint8)
    return np.ascontiguousarray(shifted[:, 0::2] << 4 | shifted[:, 1::2])


def pack_even_low(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The same with the even column in the low half, as XNNPACK's 4-bit weights are stored."""
    shifted = (codes + 8).astype(np.uint8)
    return np.ascontiguousarray(shifted[:, 1::2] << 4 | shifted[:, 0::2])


def check_grid(name: str, blocks: Blocks) -> None:
    """Refuse a grid that XNNPACK has no kernel for, naming the tensor: there it would silently stay in float."""
    columns = blocks.codes.shape[1]
    if blocks.grid == INT4_GROUP:
        if blocks.scales.shape[1] * 32 != columns:
            raise InputError(
                f"{name}: a row of {columns} weights has {blocks.scales.shape[1]} scales; XNNPACK's 4-bit weights here "
                f"need groups of exactly 32 that divide the row: use an 8-bit recipe for this tensor"
            )
        if not (blocks.scales > 0).all():
            raise InputError(f"{name}: XNNPACK refuses a scale that is not positive; quantise it on the grid {INT4_GROUP}")
    elif blocks.grid == INT8_ROW:
        if blocks.scales.shape[1] != 1:
            raise InputError(f"{name}: XNNPACK's 8-bit weights have one scale a row, found {blocks.scales.shape[1]}")
    else:
        raise InputError(
            f"{name}: the grid {blocks.grid} cannot go into an ExecuTorch file; it takes {INT4_GROUP} and {INT8_ROW}"
        )
