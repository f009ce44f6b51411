"""SmolLM2's forward as the graph that is exported: written so that XNNPACK takes everything but the cache.

Between two cache updates everything lies in one XNNPACK delegate. What XNNPACK cannot do with a dynamic length is
avoided rather than left to slow kernels: the halves of a head are exchanged by a constant matrix and not by slices, a
mean is a product with a constant row, and no reshape has two unknown extents. The cache stays outside: `index_put_`
writes the new rows in place, and the part of the cache that is filled enters the next delegate.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, Architecture
from smolship.export.executorch.attention import Attention, FusedAttention, Step
from smolship.export.executorch.codes import exchange_pairs
from smolship.export.executorch.layers import (
    QuantisedEmbedding,
    linear,
    product,
    quantise_rows,
)
from smolship.export.executorch.names import pairs_swapped
from smolship.quantize import Blocks, QuantizedModel

MASKED = 1e9
"""What is taken off the score of a future position: so far below any score that its softmax is exactly zero."""


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x²) + ε) · w` over rows of [1, n, hidden]."""

    weight: Tensor
    mean: Tensor
    epsilon: Tensor

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("mean", torch.full((1, weight.shape[0]), 1.0 / weight.shape[0]))
        self.register_buffer("epsilon", torch.tensor([epsilon]))

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.nn.functional.linear(x * x, self.mean, self.epsilon)  # [1, n, 1], with ε
        return x * torch.rsqrt(mean) * self.weight


class Layer(nn.Module):
    """Attention and a gated MLP, each on a normalised copy of the residual stream [1, n, hidden]."""

    def __init__(self, model: QuantizedModel, index: int, context: int, attention: type[Attention]) -> None:
        super().__init__()
        prefix = f"model.layers.{index}."
        gains = [model.floats(f"{prefix}{which}_layernorm.weight") for which in ("input", "post_attention")]
        self.attention_norm, self.mlp_norm = (_norm(model, gain) for gain in gains)
        self.attention = attention(model, prefix + "self_attn.", context, gains[0])
        names = [f"{prefix}mlp.{part}_proj.weight" for part in ("gate", "up", "down")]
        self.gate, self.up, self.down = (
            linear(name, model.blocks(name, "executorch"), gain)
            for name, gain in zip(names, (gains[1], gains[1], None), strict=True)
        )

    def forward(self, h: Tensor, step: Step) -> Tensor:
        h = h + self.attention(self.attention_norm(h), step)
        x = self.mlp_norm(h)
        rows = quantise_rows(x)
        gate = product(self.gate, x, rows)
        return h + product(self.down, gate * torch.sigmoid(gate) * product(self.up, x, rows))


class Head(nn.Module):
    """Logits [1, vocabulary] of one row [1, 1, hidden]; a tied head has the embedding's integers in its byte order."""

    exchange: Tensor

    def __init__(self, name: str, blocks: Blocks, gain: NDArray[np.float32]) -> None:
        super().__init__()
        self.exchanged = pairs_swapped(name, blocks)
        if self.exchanged:
            # ExecuTorch's 4-bit embedding and XNNPACK's 4-bit weights disagree on which half of a byte is the even
            # column: with the pairs exchanged, and the inputs that meet them, the bytes are equal (and stored once).
            self.register_buffer("exchange", torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
            blocks = Blocks(exchange_pairs(blocks.codes), blocks.scales, blocks.grid)
        self.linear = linear(name, blocks, gain)

    def forward(self, x: Tensor) -> Tensor:
        if self.exchanged:
            x = torch.nn.functional.linear(x.view(-1, 2), self.exchange).view(1, 1, -1)
        return product(self.linear, x).view(1, -1)


class Decoder(nn.Module):
    """Tokens int64 [1, n] after `start_pos` int64 [1] earlier ones -> logits float32 [1, vocabulary] of the last."""

    frequencies: Tensor
    columns: Tensor
    rotated: Tensor
    """[heads + 2 kv heads, 1]: how much a head is turned; queries by the scale of the scores, values not at all"""
    kept: Tensor
    """of the same shape: 1 for the values, which are kept as they are"""

    def __init__(self, model: QuantizedModel, context: int, *, custom_sdpa: bool = False) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.context, self.group, self.head_dim = context, a.heads // a.kv_heads, a.head_dim
        self.embedding = QuantisedEmbedding(EMBEDDING, model.blocks(EMBEDDING, "executorch"))
        attention = FusedAttention if custom_sdpa else Attention
        self.layers = nn.ModuleList(Layer(model, i, context, attention) for i in range(a.layers))
        gain = model.floats(FINAL_NORM)
        self.norm = _norm(model, gain)
        self.head = Head(a.head, model.blocks(a.head, "executorch"), gain)
        self.register_buffer("frequencies", _frequencies(a))
        self.register_buffer("columns", torch.arange(context, dtype=torch.float32))
        counts = torch.tensor([a.heads, a.kv_heads, a.kv_heads])
        for name, values in (("rotated", [a.head_dim**-0.5, 1.0, 0.0]), ("kept", [0.0, 0.0, 1.0])):
            self.register_buffer(name, torch.tensor(values).repeat_interleave(counts).view(-1, 1))

    def forward(self, tokens: Tensor, start_pos: Tensor) -> Tensor:
        count = tokens.shape[1]
        step = self._step(count, start_pos)
        h = self.embedding(tokens)
        for layer in self.layers:
            h = layer(h, step)
        logits: Tensor = self.head(self.norm(torch.narrow_copy(h, 1, count - 1, 1)))
        return logits

    def _step(self, count: int, start_pos: Tensor) -> Step:
        start: Any = start_pos.item()
        length = start + count
        for holds in (start >= 0, start < self.context, length <= self.context):
            torch._check(holds)  # noqa: SLF001  (torch's documented way to bound a symbolic int)
        positions = torch.arange(count) + start_pos
        floats = positions.to(torch.float32)
        angles = torch.outer(floats, self.frequencies)  # [n, d/2]
        angles = torch.cat((angles, angles), dim=-1).view(-1, 1, self.head_dim)
        columns = torch.narrow_copy(self.columns, 0, 0, length).view(1, -1)
        penalty = torch.clamp(floats.repeat(self.group).view(-1, 1) - columns, -1.0, 0.0) * MASKED
        cos, sin = angles.cos() * self.rotated + self.kept, angles.sin() * self.rotated
        rows = torch.cat((positions, positions + self.context))
        return Step(rows, start, length, cos, sin, penalty)


def _norm(model: QuantizedModel, gain: NDArray[np.float32]) -> RMSNorm:
    return RMSNorm(torch.from_numpy(gain), model.checkpoint.architecture.norm_epsilon)


def _frequencies(a: Architecture) -> Tensor:
    """Radians a position for each pair, float32 [head_dim / 2]: θ^(-2i/d), as Hugging Face computes them."""
    exponents = torch.arange(0, a.head_dim, 2, dtype=torch.int64).to(torch.float32) / a.head_dim
    return 1.0 / (a.rope_theta**exponents)
