"""SmolLM2's forward as the graph that is exported: written so that XNNPACK takes everything but the cache.

Between two cache updates everything lies in one XNNPACK delegate. What XNNPACK cannot do with a dynamic length is avoided rather
than left to slow kernels: the halves of a head are swapped by a constant matrix and not by slices, a mean is a product with a
constant row, and no reshape has two unknown extents. The cache stays outside: `index_put_` writes the new columns in place and a
prefix of the cache, as long as what has been seen so far, enters the next delegate.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, Architecture
from smolship.export.executorch.layers import INT4_GROUP, QuantisedEmbedding, QuantisedLinear, quantise_rows
from smolship.quantize import Blocks, QuantizedModel

MASKED = 1e9
"""what is taken off the score of a position in the future: far enough below any score that its softmax is exactly zero"""


@dataclass(frozen=True)
class Step:
    """What all layers share in one call: n tokens that follow `start` earlier ones."""

    positions: Tensor
    """int64 [n]"""
    length: int
    """start + n, symbolic while tracing"""
    cos: Tensor
    """float32 [n, 1, head_dim]"""
    sin: Tensor
    penalty: Tensor
    """float32 [heads per kv head * n, length]: 0 where a query may look, -MASKED where it may not"""


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x²) + ε) · w` over rows of [n, hidden]."""

    weight: Tensor
    ones: Tensor
    epsilon: Tensor

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("ones", torch.full((1, weight.shape[0]), 1.0 / weight.shape[0]))
        self.register_buffer("epsilon", torch.tensor([epsilon]))

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.nn.functional.linear(x * x, self.ones)  # [n, 1]
        return x * torch.rsqrt(mean + self.epsilon) * self.weight


class Attention(nn.Module):
    """Grouped-query attention with the cache inside, keys stored transposed: [kv, head_dim, context] and [kv, context, head_dim]."""

    keys: Tensor
    values: Tensor
    halves: Tensor

    def __init__(self, model: QuantizedModel, prefix: str, context: int) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.heads, self.kv_heads, self.head_dim = a.heads, a.kv_heads, a.head_dim
        self.q = _linear(model, prefix + "q_proj.weight")
        self.k = _linear(model, prefix + "k_proj.weight")
        self.v = _linear(model, prefix + "v_proj.weight")
        self.o = _linear(model, prefix + "o_proj.weight")
        self.register_buffer("keys", torch.zeros(a.kv_heads, a.head_dim, context))
        self.register_buffer("values", torch.zeros(a.kv_heads, context, a.head_dim))
        self.register_buffer("halves", _swapped_halves(a.head_dim))

    def _rotate(self, x: Tensor, step: Step) -> Tensor:
        """Rotary position embedding of [n, heads, head_dim]; `x @ halves.T` is (-second half, first half)."""
        return x * step.cos + torch.nn.functional.linear(x, self.halves) * step.sin

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = quantise_rows(x)
        q = self._rotate(self.q(x).view(-1, self.heads, self.head_dim), step) * (1.0 / math.sqrt(self.head_dim))
        k = self._rotate(self.k(x).view(-1, self.kv_heads, self.head_dim), step)
        v = self.v(x).view(-1, self.kv_heads, self.head_dim)
        q = q.permute(1, 0, 2).contiguous().view(self.kv_heads, -1, self.head_dim)  # [kv, heads per kv * n, d]
        torch.ops.aten.index_put_(self.keys, [None, None, step.positions], k.permute(1, 2, 0).contiguous())
        torch.ops.aten.index_put_(self.values, [None, step.positions], v.permute(1, 0, 2).contiguous())
        keys = torch.narrow_copy(self.keys, 2, 0, step.length)
        values = torch.narrow_copy(self.values, 1, 0, step.length)
        weights = torch.softmax(torch.bmm(q, keys) + step.penalty, dim=-1)  # [kv, heads per kv * n, length]
        y = torch.bmm(weights, values).view(self.heads, -1, self.head_dim)
        y = y.permute(1, 0, 2).contiguous().view(-1, self.heads * self.head_dim)
        out: Tensor = self.o(quantise_rows(y))
        return out


class Block(nn.Module):
    """One layer: attention and a gated MLP, each on a normalised copy of the residual stream [n, hidden]."""

    def __init__(self, model: QuantizedModel, index: int, context: int) -> None:
        super().__init__()
        prefix = f"model.layers.{index}."
        self.attention_norm = _norm(model, prefix + "input_layernorm.weight")
        self.attention = Attention(model, prefix + "self_attn.", context)
        self.mlp_norm = _norm(model, prefix + "post_attention_layernorm.weight")
        self.gate = _linear(model, prefix + "mlp.gate_proj.weight")
        self.up = _linear(model, prefix + "mlp.up_proj.weight")
        self.down = _linear(model, prefix + "mlp.down_proj.weight")

    def forward(self, h: Tensor, step: Step) -> Tensor:
        h = h + self.attention(self.attention_norm(h), step)
        x = quantise_rows(self.mlp_norm(h))
        gate = self.gate(x)
        out: Tensor = h + self.down(quantise_rows(gate * torch.sigmoid(gate) * self.up(x)))
        return out


class TiedHead(nn.Module):
    """Logits [1, vocabulary] of one row [1, hidden], from the embedding's integers in the embedding's own byte order.

    ExecuTorch's 4-bit embedding and XNNPACK's 4-bit weights disagree on which half of a byte is the even column. Exchanging
    the columns of each pair here, and the two inputs that meet them, makes the bytes equal, so that they are stored once.
    """

    exchange: Tensor

    def __init__(self, embedding: Blocks) -> None:
        super().__init__()
        self.exchanged = embedding.grid == INT4_GROUP
        if self.exchanged:
            self.register_buffer("exchange", torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
            codes = embedding.codes.reshape(len(embedding.codes), -1, 2)[:, :, ::-1].reshape(embedding.codes.shape)
            embedding = Blocks(codes, embedding.scales, embedding.grid)
        self.linear = QuantisedLinear(EMBEDDING, embedding)

    def forward(self, x: Tensor) -> Tensor:
        if self.exchanged:
            x = torch.nn.functional.linear(x.view(-1, 2), self.exchange).view(1, -1)
        logits: Tensor = self.linear(quantise_rows(x))
        return logits


class Decoder(nn.Module):
    """tokens int64 [1, n] that follow `start_pos` int64 [1] earlier ones -> logits float32 [1, vocabulary] of the last of them."""

    frequencies: Tensor
    columns: Tensor

    def __init__(self, model: QuantizedModel, context: int) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.architecture, self.context = a, context
        embedding = model.blocks(EMBEDDING, "executorch")
        self.embedding = QuantisedEmbedding(EMBEDDING, embedding)
        self.layers = nn.ModuleList(Block(model, i, context) for i in range(a.layers))
        self.norm = _norm(model, FINAL_NORM)
        self.head = TiedHead(embedding)
        self.register_buffer("frequencies", _frequencies(a))
        self.register_buffer("columns", torch.arange(context, dtype=torch.float32))

    def _step(self, count: int, start_pos: Tensor) -> Step:
        start = start_pos.item()
        torch._check(start >= 0)
        torch._check(start < self.context)
        length = start + count
        torch._check(length <= self.context)
        positions = torch.arange(count) + start_pos
        floats = positions.to(torch.float32)
        angles = torch.outer(floats, self.frequencies)  # [n, d/2]
        angles = torch.cat((angles, angles), dim=-1).view(-1, 1, self.architecture.head_dim)
        rows = floats.repeat(self.architecture.heads // self.architecture.kv_heads).view(-1, 1)
        columns = torch.narrow_copy(self.columns, 0, 0, length).view(1, -1)
        penalty = torch.clamp(rows - columns, -1.0, 0.0) * MASKED
        return Step(positions, length, angles.cos(), angles.sin(), penalty)

    def forward(self, tokens: Tensor, start_pos: Tensor) -> Tensor:
        count = tokens.shape[1]
        step = self._step(count, start_pos)
        h = self.embedding(tokens.view(-1))
        for layer in self.layers:
            h = layer(h, step)
        last = torch.narrow_copy(h, 0, count - 1, 1)
        logits: Tensor = self.head(self.norm(last))
        return logits


def _linear(model: QuantizedModel, name: str) -> QuantisedLinear:
    return QuantisedLinear(name, model.blocks(name, "executorch"))


def _norm(model: QuantizedModel, name: str) -> RMSNorm:
    return RMSNorm(torch.from_numpy(model.floats(name)), model.checkpoint.architecture.norm_epsilon)


def _frequencies(a: Architecture) -> Tensor:
    """Radians a position for each pair, float32 [head_dim / 2]: θ^(-2i/d), as Hugging Face computes them."""
    exponents = torch.arange(0, a.head_dim, 2, dtype=torch.int64).to(torch.float32) / a.head_dim
    return 1.0 / (a.rope_theta**exponents)


def _swapped_halves(d: int) -> Tensor:
    """The [d, d] matrix M with `x @ M.T` = (-x[d/2:], x[:d/2]); exact in float32, as each sum has one term."""
    half = d // 2
    m = torch.zeros(d, d)
    for i in range(half):
        m[i, half + i] = -1.0
        m[half + i, i] = 1.0
    return m
