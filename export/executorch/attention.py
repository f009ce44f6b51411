"""Attention with the key-value cache inside, in the two forms that a .pte can have."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smolship.checkpoint.architecture import Architecture
from smolship.export.executorch.layers import JoinedLinear, QuantisedLinear, product
from smolship.quantize import QuantizedModel


@dataclass(frozen=True)
class Step:
    """What all layers share in one call: n tokens that follow `start` earlier ones."""

    rows: Tensor
    """int64 [2n]: the rows of a cache that the tokens' keys fill, then those that their values fill"""
    start: Any
    """an int, symbolic while tracing"""
    length: Any
    """start + n"""
    cos: Tensor
    """float32 [n, heads + 2 kv heads, head_dim]: times the scale of the scores for queries, 1 for values"""
    sin: Tensor
    """the same, 0 for values"""
    penalty: Tensor
    """float32 [heads per kv head · n, length]: 0 where a query may look, hugely negative where it may not"""


class Attention(nn.Module):
    """Grouped-query attention of portable operators.

    A position is a row of the cache, so that the filled part is one piece of memory: it is read where it lies (see
    `planning`). All keys come before all values, and one operator writes both.
    """

    cache: Tensor
    """float16 [2 · context, kv heads, head_dim]"""
    halves: Tensor

    def __init__(self, model: QuantizedModel, prefix: str, context: int, gain: NDArray[np.float32]) -> None:
        super().__init__()
        a = model.checkpoint.architecture
        self.heads, self.kv_heads, self.head_dim, self.context = a.heads, a.kv_heads, a.head_dim, context
        self.qkv = JoinedLinear(model, [f"{prefix}{which}_proj.weight" for which in "qkv"], gain)
        out = f"{prefix}o_proj.weight"
        self.o = QuantisedLinear(out, model.blocks(out, "executorch"))
        self.register_buffer("halves", _exchanged_halves(a.head_dim))
        self._make_cache(a)

    def _make_cache(self, a: Architecture) -> None:
        self.register_buffer("cache", torch.zeros(2 * self.context, a.kv_heads, a.head_dim, dtype=torch.float16))

    def _rotate(self, x: Tensor, step: Step) -> Tensor:
        """Rotary position embedding of [n, heads, head_dim]; `x @ halves.T` is (-second half, first half) of a head.

        Queries, keys and values together keep XNNPACK from starting its threads for rows of 64; values come out as
        they went in. The sines of both halves are equal, so they may come before the exchange: the less there is
        between the last product of a delegate and the first of the next, the rarer its threads fall asleep.
        """
        return x * step.cos + torch.nn.functional.linear(x * step.sin, self.halves)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[1, n, hidden], normalised, to what is added to the residual stream."""
        qkv = self.qkv(x).view(-1, self.heads + 2 * self.kv_heads, self.head_dim)
        qkv, turned = self._rotate(qkv, step), self.heads + self.kv_heads
        q, k, v = qkv[:, : self.heads], qkv[:, self.heads : turned], qkv[:, turned:]
        return product(self.o, self._attend(q, k, v, step))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        """Scaled queries [n, heads, d] on the cache, with k and v [n, kv heads, d] put in before: [1, n, heads · d]."""
        q = q.permute(1, 0, 2).contiguous().view(self.kv_heads, -1, self.head_dim)  # [kv, heads per kv · n, d]
        rows = torch.cat((k, v)).half()  # [2n, kv, d]
        torch.ops.aten.index_put_(self.cache, [step.rows], rows)
        keys, values = (
            torch.narrow_copy(self.cache, 0, first, step.length).permute(1, 0, 2).contiguous().float()
            for first in (0, self.context)
        )  # [kv, length, d]
        scores = torch.bmm(q, keys.permute(0, 2, 1)) + step.penalty  # [kv, heads per kv · n, length]
        weights = torch.softmax(scores, dim=-1)
        y = torch.bmm(weights, values).view(self.heads, -1, self.head_dim)
        return y.permute(1, 0, 2).contiguous().view(1, -1, self.heads * self.head_dim)


class FusedAttention(Attention):
    """The same by ExecuTorch's `llama::` operators, which a runtime must link; caches [1, context, kv heads, d]."""

    keys: Tensor
    values: Tensor

    def _make_cache(self, a: Architecture) -> None:
        from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers the operators)

        self.register_buffer("keys", torch.zeros(1, self.context, a.kv_heads, a.head_dim))
        self.register_buffer("values", torch.zeros(1, self.context, a.kv_heads, a.head_dim))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        ops = torch.ops.llama
        ops.update_cache(k.unsqueeze(0), self.keys, step.start)
        ops.update_cache(v.unsqueeze(0), self.values, step.start)
        y = ops.custom_sdpa(q.unsqueeze(0), self.keys, self.values, step.start, None, 0.0, True, 1.0)
        flat: Tensor = y.view(1, -1, self.heads * self.head_dim)
        return flat


def _exchanged_halves(d: int) -> Tensor:
    """The [d, d] matrix M with `x @ M.T` = (-x[d/2:], x[:d/2]); exact in float32, as each sum has one term."""
    half = d // 2
    m = torch.zeros(d, d)
    m[:half, half:] = -torch.eye(half)
    m[half:, :half] = torch.eye(half)
    return m
