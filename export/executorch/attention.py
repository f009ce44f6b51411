"""Attention with the key-value cache inside, in the two forms that a .pte can have."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smolship.checkpoint.architecture import Architecture
from smolship.export.executorch.layers import QuantisedLinear, careful_linear, product, quantise_rows
from smolship.quantize import QuantizedModel


@dataclass(frozen=True)
class Step:
    """What all layers share in one call: n tokens that follow `start` earlier ones."""

    positions: Tensor
    """int64 [n]"""
    start: Any
    """an int, symbolic while tracing"""
    length: Any
    """start + n"""
    cos: Tensor
    """float32 [n, heads + kv heads, head_dim], those of the queries times the scale of the scores"""
    sin: Tensor
    penalty: Tensor
    """float32 [heads per kv head · n, length]: 0 where a query may look, hugely negative where it may not"""


class Attention(nn.Module):
    """Grouped-query attention of portable operators; keys lie transposed, so XNNPACK multiplies them as they are."""

    keys: Tensor
    """float16 [kv heads, head_dim, context]"""
    values: Tensor
    """float16 [kv heads, context, head_dim]"""
    halves: Tensor

    def __init__(self, model: QuantizedModel, prefix: str, context: int) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.heads, self.kv_heads, self.head_dim = a.heads, a.kv_heads, a.head_dim
        matrices = {which: f"{prefix}{which}_proj.weight" for which in "qkvo"}
        self.q, self.k, self.o = (
            QuantisedLinear(matrices[which], model.blocks(matrices[which], "executorch")) for which in "qko"
        )
        self.v = careful_linear(matrices["v"], model.blocks(matrices["v"], "executorch"))
        self.register_buffer("halves", _exchanged_halves(a.head_dim))
        self._make_cache(a, context)

    def _make_cache(self, a: Architecture, context: int) -> None:
        self.register_buffer("keys", torch.zeros(a.kv_heads, a.head_dim, context, dtype=torch.float16))
        self.register_buffer("values", torch.zeros(a.kv_heads, context, a.head_dim, dtype=torch.float16))

    def _rotate(self, x: Tensor, step: Step) -> Tensor:
        """Rotary position embedding of [n, heads, head_dim]; `x @ halves.T` is (-second half, first half) of a head.

        Queries and keys together, and angles for all of it, keep XNNPACK from starting its threads for rows of 64.
        """
        return x * step.cos + torch.nn.functional.linear(x, self.halves) * step.sin

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[n, hidden], normalised, to what is added to the residual stream."""
        rows = quantise_rows(x)
        both = torch.cat((self.q(rows), self.k(rows)), dim=-1).view(-1, self.heads + self.kv_heads, self.head_dim)
        both = self._rotate(both, step)
        q, k = both[:, : self.heads], both[:, self.heads :]
        v = product(self.v, x, rows).view(-1, self.kv_heads, self.head_dim)
        return product(self.o, self._attend(q, k, v, step))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        """Scaled queries [n, heads, d] on the cache, after k and v [n, kv heads, d] are put in, to [n, heads · d]."""
        q = q.permute(1, 0, 2).contiguous().view(self.kv_heads, -1, self.head_dim)  # [kv, heads per kv · n, d]
        torch.ops.aten.index_put_(self.keys, [None, None, step.positions], k.permute(1, 2, 0).contiguous().half())
        torch.ops.aten.index_put_(self.values, [None, step.positions], v.permute(1, 0, 2).contiguous().half())
        keys = torch.narrow_copy(self.keys, 2, 0, step.length).float()
        values = torch.narrow_copy(self.values, 1, 0, step.length).float()
        weights = torch.softmax(torch.bmm(q, keys) + step.penalty, dim=-1)  # [kv, heads per kv · n, length]
        y = torch.bmm(weights, values).view(self.heads, -1, self.head_dim)
        return y.permute(1, 0, 2).contiguous().view(-1, self.heads * self.head_dim)


class FusedAttention(Attention):
    """The same by ExecuTorch's `llama::` operators, which a runtime must link; caches [1, context, kv heads, d]."""

    def _make_cache(self, a: Architecture, context: int) -> None:
        from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers the operators)

        self.register_buffer("keys", torch.zeros(1, context, a.kv_heads, a.head_dim))
        self.register_buffer("values", torch.zeros(1, context, a.kv_heads, a.head_dim))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        ops = torch.ops.llama
        ops.update_cache(k.unsqueeze(0), self.keys, step.start)
        ops.update_cache(v.unsqueeze(0), self.values, step.start)
        y = ops.custom_sdpa(q.unsqueeze(0), self.keys, self.values, step.start, None, 0.0, True, 1.0)
        flat: Tensor = y.view(-1, self.heads * self.head_dim)
        return flat


def _exchanged_halves(d: int) -> Tensor:
    """The [d, d] matrix M with `x @ M.T` = (-x[d/2:], x[:d/2]); exact in float32, as each sum has one term."""
    half = d // 2
    m = torch.zeros(d, d)
    m[:half, half:] = -torch.eye(half)
    m[half:, :half] = torch.eye(half)
    return m
