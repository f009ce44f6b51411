"""The layers of the exported graph that hold integers: linear maps and the embedding, never re-quantised.

They are written in exactly the operators that ExecuTorch recognises: `torchao`'s affine (de)quantisation around a
linear map becomes XNNPACK's fully connected operator with dynamically quantised inputs, and
`quantized_decomposed.embedding_*` are kernels of ExecuTorch's quantised library.
"""

import numpy as np
import torch
import torchao.quantization.quant_primitives  # noqa: F401  (registers its operators)
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the embedding)
from torch import Tensor, nn

from smolship.export.executorch.codes import INT4_GROUP, check_grid, pack_even_high
from smolship.quantize import Blocks

_SMALLEST_INPUT_SCALE = float(torch.finfo(torch.float32).eps)


def quantise_rows(x: Tensor) -> Tensor:
    """`x` [n, k] as XNNPACK sees it: each row rounded to 8 bits, its scale and zero point found at run time."""
    ops = torch.ops.torchao
    block = [1, x.shape[-1]]
    scale, zero_point = ops.choose_qparams_affine.default(
        x, "ASYMMETRIC", block, torch.int8, -128, 127, _SMALLEST_INPUT_SCALE, torch.float32, torch.int8
    )
    q = ops.quantize_affine.default(x, block, scale, zero_point, torch.int8, -128, 127)
    rows: Tensor = ops.dequantize_affine.default(q, block, scale, zero_point, torch.int8, -128, 127)
    return rows


COARSE = 4.0
"""Values beyond this many times a row's mean magnitude are rounded apart from the rest of the row."""


class SplitRows(nn.Module):
    """Rows [n, k] as two parts that sum to them: what is within `COARSE` times the mean magnitude, and the excesses.

    Each part then has its own 8-bit scale, so that one huge value no longer costs the whole row its precision.
    """

    bound: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("bound", torch.full((1, k), COARSE / k))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bound = torch.nn.functional.linear(torch.abs(x), self.bound)  # [n, 1]
        small = torch.minimum(torch.maximum(x, -bound), bound)
        return small, x - small


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


class SplitLinear(nn.Module):
    """`x @ W.T` of float rows x, each rounded in two parts, where one scale a row costs more than the second product.

    Of `q8` of the 135M model the roundings for v, up and down are two thirds of what activations cost. A row's parts
    lie side by side, so that one product reads the weights once for both.
    """

    def __init__(self, name: str, blocks: Blocks) -> None:
        super().__init__()
        self.split = SplitRows(blocks.codes.shape[1])
        self.linear = QuantisedLinear(name, blocks)

    def forward(self, x: Tensor) -> Tensor:
        inner, outer = self.linear.codes.shape[1], self.linear.codes.shape[0]
        parts = torch.cat([part.view(-1, 1, inner) for part in self.split(x)], dim=1).view(-1, inner)  # [2n, k]
        y = self.linear(quantise_rows(parts)).view(-1, 2 * outer)  # [n, 2 out]
        whole: Tensor = y[:, :outer] + y[:, outer:]
        return whole


def careful_linear(name: str, blocks: Blocks) -> QuantisedLinear | SplitLinear:
    """In two parts where the weights have 8 bits: beside what 4 bits lose, one scale a row loses next to nothing."""
    return QuantisedLinear(name, blocks) if blocks.grid == INT4_GROUP else SplitLinear(name, blocks)


def product(matrix: QuantisedLinear | SplitLinear, x: Tensor, rows: Tensor | None = None) -> Tensor:
    """`x @ W.T` of float rows, rounded as the matrix wants them; `rows` is x rounded with one scale, if at hand."""
    if isinstance(matrix, QuantisedLinear):
        x = quantise_rows(x) if rows is None else rows
    y: Tensor = matrix(x)
    return y


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
            self.register_buffer("scales", torch.from_numpy(blocks.scales[:, 0].astype(np.float32)))

    def forward(self, tokens: Tensor) -> Tensor:
        ops = torch.ops.quantized_decomposed
        rows: Tensor
        if self.four_bit:
            rows = ops.embedding_4bit.dtype(self.codes, self.scales, None, -8, 7, tokens, dtype=torch.float32)
        else:
            rows = ops.embedding_byte.default(self.codes, self.scales, None, -128, 127, tokens)
        return rows
