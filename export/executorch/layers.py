"""The layers of the exported graph that hold integers: linear maps and the embedding, never re-quantised.

They are written in exactly the operators that ExecuTorch recognises: `torchao`'s affine (de)quantisation around a
linear map becomes XNNPACK's fully connected operator with dynamically quantised inputs, and
`quantized_decomposed.embedding_*` are kernels of ExecuTorch's quantised library.
"""

import numpy as np
import torch
import torchao.quantization.quant_primitives  # noqa: F401  (registers its operators)
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the embedding)
from numpy.typing import NDArray
from torch import Tensor, nn

from smolship.export.executorch.codes import INT4_GROUP, check_grid, pack_even_high
from smolship.export.executorch.joined import joined, takes_two_parts
from smolship.quantize import Blocks, QuantizedModel

_SMALLEST_INPUT_SCALE = float(torch.finfo(torch.float32).eps)


def quantise_rows(x: Tensor) -> Tensor:
    """`x` [..., k] as XNNPACK sees it: each row rounded to 8 bits, its scale and zero point found at run time."""
    ops = torch.ops.torchao
    block = [1] * (x.dim() - 1) + [x.shape[-1]]
    scale, zero_point = ops.choose_qparams_affine.default(
        x, "ASYMMETRIC", block, torch.int8, -128, 127, _SMALLEST_INPUT_SCALE, torch.float32, torch.int8
    )
    q = ops.quantize_affine.default(x, block, scale, zero_point, torch.int8, -128, 127)
    rows: Tensor = ops.dequantize_affine.default(q, block, scale, zero_point, torch.int8, -128, 127)
    return rows


COARSE = 4.0
"""Values beyond this many times a row's mean magnitude are rounded apart from the rest of the row."""
COARSE_OF_GAIN = 1.5
"""The same for normalised rows, as a multiple of the gain's mean magnitude: what a value of average size has there."""


_LOWER = -128 / 127
"""Times the upper bound, the lower one: 8 bits then have zero on a step. Halfway between two, its rounding is a tie."""


class FixedSplit(nn.Module):
    """Rows [1, n, k] as two parts that sum to them: what is within `bound` of zero, and the excesses.

    Each part then has its own 8-bit scale, so that one huge value no longer costs the whole row its precision.
    """

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    @property
    def limits(self) -> tuple[float, float]:
        """What the small part lies between."""
        return _LOWER * self.bound, self.bound

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        small = torch.clamp(x, *self.limits)
        return small, x - small


class RowSplit(nn.Module):
    """The same for rows of any size: the bound is `COARSE` times the row's mean magnitude."""

    bound: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("bound", torch.full((1, k), COARSE / k))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bound = torch.nn.functional.linear(torch.abs(x), self.bound)  # [1, n, 1]
        small = torch.minimum(torch.maximum(x, _LOWER * bound), bound)
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
    """`x @ W.T` of float rows [1, n, k], each rounded in two parts: one scale a row costs more than a second product.

    All small parts, then all excesses: one product reads the weights once for both.
    """

    def __init__(self, name: str, blocks: Blocks, gain: NDArray[np.float32] | None) -> None:
        super().__init__()
        inner = blocks.codes.shape[1]
        self.split = RowSplit(inner) if gain is None else FixedSplit(COARSE_OF_GAIN * float(np.abs(gain).mean()))
        self.linear = QuantisedLinear(name, blocks)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.linear(quantise_rows(torch.cat(self.split(x))))  # [2, n, out]
        whole: Tensor = parts[0:1] + parts[1:2]
        return whole


def linear(name: str, blocks: Blocks, gain: NDArray[np.float32] | None = None) -> QuantisedLinear | SplitLinear:
    """The product with a matrix in the form that its name and grid ask for; `gain` of the norm before it, if any."""
    if takes_two_parts(name, blocks.grid):
        return SplitLinear(name, blocks, gain)
    return QuantisedLinear(name, blocks)


def product(matrix: nn.Module, x: Tensor, rows: Tensor | None = None) -> Tensor:
    """`x @ W.T` of float rows, rounded as the matrix wants them; `rows` is x rounded with one scale, if at hand."""
    if isinstance(matrix, QuantisedLinear):
        x = quantise_rows(x) if rows is None else rows
    y: Tensor = matrix(x)
    return y


class JoinedLinear(nn.Module):
    """Several linear maps of the same rows, their outputs side by side: neighbours of one form and grid as one product.

    Each product costs a start of XNNPACK's threads; q, k and v in one save two of seven in a layer.
    """

    def __init__(self, model: QuantizedModel, names: list[str], gain: NDArray[np.float32]) -> None:
        super().__init__()
        groups = joined(model, names)
        self.products = nn.ModuleList(linear(group[0], blocks, gain) for group, blocks in groups)

    def forward(self, x: Tensor) -> Tensor:
        parts = [product(each, x) for each in self.products]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


class QuantisedEmbedding(nn.Module):
    """Rows of the embedding, float32 [1, n, hidden], from the same integers as a head that is tied to it."""

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
