"""SmolLM2's forward with weights dequantised and activations in float: what backends other than XNNPACK are given.

XNNPACK's graph has operators and shapes that only XNNPACK wants. Here the layers are written as the maths has them, and
a backend's own decoder says how it embeds, keeps its cache and attends.
"""

from typing import Any, ClassVar

import numpy as np
import torch
import torchao.quantization.quant_primitives  # noqa: F401  (registers its operators)
from torch import Tensor, nn
from torch.nn import functional

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, Architecture
from smolship.export.executorch.codes import INT4_GROUP, check_grid
from smolship.quantize import Blocks, QuantizedModel
from smolship.reference import rotary


class PlainLinear(nn.Module):
    """`x @ W.T` with W = `codes · scales` on the grid int4-b32 or int8-row, dequantised by an operator of the graph."""

    codes: Tensor
    scales: Tensor
    zeros: Tensor

    def __init__(self, name: str, blocks: Blocks) -> None:
        super().__init__()
        check_grid(name, blocks)
        self.block = [1, blocks.group_size]
        self.low, self.high = (-8, 7) if blocks.grid == INT4_GROUP else (-128, 127)
        # Copies: torch.export takes two tensors over one memory for one, and a backend may pack each in its own way.
        self.register_buffer("codes", torch.from_numpy(blocks.codes.copy()))
        self.register_buffer("scales", torch.from_numpy(blocks.scales.astype(np.float32)))
        self.register_buffer("zeros", torch.zeros(blocks.scales.shape, dtype=torch.int8))

    def weight(self) -> Tensor:
        """W, [out, in], in the type of the scales."""
        rows: Tensor = torch.ops.torchao.dequantize_affine.default(
            self.codes, self.block, self.scales, self.zeros, torch.int8, self.low, self.high, self.scales.dtype
        )
        return rows

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight())


class PlainTable(PlainLinear):
    """Rows of W in place of a product with it."""

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight())


class PlainNorm(nn.Module):
    """`x / sqrt(mean(x²) + ε) · w` over the last axis."""

    weight: Tensor

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.epsilon) * self.weight


class PlainAttention(nn.Module):
    """The four projections of an attention; a backend's own class has `attend` and its cache."""

    def __init__(self, model: QuantizedModel, prefix: str, context: int, linear: type[nn.Module]) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.heads, self.kv_heads, self.head_dim = a.heads, a.kv_heads, a.head_dim
        self.q, self.k, self.v, self.o = (
            linear(name, model.blocks(name, "executorch"))
            for name in (f"{prefix}{which}_proj.weight" for which in "qkvo")
        )
        self.make_cache(a, context)

    def make_cache(self, a: Architecture, context: int) -> None:
        """Register the buffers that stay from call to call."""
        raise NotImplementedError

    def attend(self, q: Tensor, k: Tensor, v: Tensor, step: Any) -> Tensor:
        """Queries [1, n, heads, d] on the cache, with k and v [1, n, kv heads, d] put into it, to [1, n, hidden]."""
        raise NotImplementedError

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, step: Any) -> Tensor:
        """[1, n, hidden], normalised, to what is added to the residual stream; `cos` and `sin` [n, 1, d]."""
        q, k, v = (part(x).view(1, -1, n, self.head_dim) for part, n in self._parts())
        out: Tensor = self.o(self.attend(_rotate(q, cos, sin), _rotate(k, cos, sin), v, step))
        return out

    def _parts(self) -> list[tuple[nn.Module, int]]:
        return [(self.q, self.heads), (self.k, self.kv_heads), (self.v, self.kv_heads)]


class PlainLayer(nn.Module):
    """Attention and a gated MLP, each on a normalised copy of the residual stream [1, n, hidden]."""

    def __init__(self, model: QuantizedModel, index: int, context: int, decoder: "type[PlainDecoder]") -> None:
        super().__init__()
        prefix = f"model.layers.{index}."
        self.attention_norm = decoder.make_norm(model, prefix + "input_layernorm.weight")
        self.attention = decoder.attention(model, prefix + "self_attn.", context, decoder.linear)
        self.mlp_norm = decoder.make_norm(model, prefix + "post_attention_layernorm.weight")
        self.gate, self.up, self.down = (
            decoder.linear(name, model.blocks(name, "executorch"))
            for name in (f"{prefix}mlp.{part}_proj.weight" for part in ("gate", "up", "down"))
        )

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor, step: Any) -> Tensor:
        h = h + self.attention(self.attention_norm(h), cos, sin, step)
        x = self.mlp_norm(h)
        out: Tensor = h + self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class PlainDecoder(nn.Module):
    """Tokens int64 [1, n] after `start_pos` int64 [1] earlier ones -> logits float32 [1, vocabulary] of the last."""

    attention: ClassVar[type[PlainAttention]]
    linear: ClassVar[type[PlainLinear]] = PlainLinear
    norm_type: ClassVar[type[PlainNorm]] = PlainNorm
    cos: Tensor
    sin: Tensor
    """float32 [context, head_dim]"""

    def __init__(self, model: QuantizedModel, context: int) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.context = context
        self.head = self.linear(a.head, model.blocks(a.head, "executorch"))
        self.layers = nn.ModuleList(PlainLayer(model, i, context, type(self)) for i in range(a.layers))
        self.norm = self.make_norm(model, FINAL_NORM)
        cosines, sines = rotary(a, context)
        self.register_buffer("cos", cosines)
        self.register_buffer("sin", sines)
        self.table = self.make_table(model)

    @classmethod
    def make_norm(cls, model: QuantizedModel, name: str) -> PlainNorm:
        """The norm with the gains of that name."""
        return cls.norm_type(torch.from_numpy(model.floats(name).copy()), model.checkpoint.architecture.norm_epsilon)

    def make_table(self, model: QuantizedModel) -> nn.Module | None:
        """What the embedding's rows are gathered from, if not from the head that it is tied to."""
        tied = model.checkpoint.architecture.tied
        return None if tied else PlainTable(EMBEDDING, model.blocks(EMBEDDING, "executorch"))

    def embed(self, tokens: Tensor) -> Tensor:
        """The embedding's rows [1, n, hidden]."""
        rows: Tensor = functional.embedding(tokens, self.head.weight()) if self.table is None else self.table(tokens)
        return rows

    def step(self, count: Any, start_pos: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Cosines and sines [n, 1, head_dim] of the positions, and what the attention needs to know of the call."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, start_pos: Tensor) -> Tensor:
        cos, sin, step = self.step(tokens.shape[1], start_pos)
        h = self.embed(tokens)
        for layer in self.layers:
            h = layer(h, cos, sin, step)
        logits: Tensor = self.head(self.norm(h[:, -1]))
        return logits


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions applied to [1, n, heads, d], a dimension paired with the one half a head away."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin
