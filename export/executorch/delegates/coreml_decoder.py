"""The graph that Core ML is given: one token a call, its cache a Core ML state, nothing that float16 cannot hold.

Core ML computes in float16 on the GPU and the Neural Engine, and a state is float16 everywhere. Shapes are fixed, as
the Neural Engine wants them, and because torch.export writes a length from 1 up as from 2 up, to which Core ML keeps.
"""

import math
from typing import Any

import torch
from torch import Tensor

from smolship.checkpoint.architecture import Architecture
from smolship.export.executorch.delegates.plain import PlainAttention, PlainDecoder, PlainNorm
from smolship.quantize import QuantizedModel

MASKED = -30_000.0
"""what is added to the score of a position that is not filled yet: finite in float16, and its softmax is zero"""
SMALLEST = 2.0**-7
"""rows whose largest magnitude is below this are not scaled up to 1: ε divided by its square stays in float16"""


class CoreMLNorm(PlainNorm):
    """The same norm of x divided by its largest magnitude: the squares of a residual stream would overflow float16.

    Core ML's own `rms_norm` does this too, but adds ε to the scaled mean, where it is another number. ε is a tensor
    here, as a number over a tensor becomes Core ML's `inverse`, which adds 1e-4 to what it divides by.
    """

    offset: Tensor

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        super().__init__(weight, epsilon)
        self.register_buffer("offset", torch.tensor([epsilon]))

    def forward(self, x: Tensor) -> Tensor:
        largest = torch.clamp(torch.abs(x).amax(-1, keepdim=True), min=SMALLEST)
        y = x / largest
        mean = (y * y).mean(-1, keepdim=True)
        return y * torch.rsqrt(mean + self.offset / (largest * largest)) * self.weight


class CoreMLAttention(PlainAttention):
    """Grouped-query attention of one query on the whole cache, positions to come masked."""

    keys: Tensor
    """[kv heads, context, head_dim]"""
    values: Tensor

    def make_cache(self, a: Architecture, context: int) -> None:
        self.register_buffer("keys", torch.zeros(a.kv_heads, context, a.head_dim))
        self.register_buffer("values", torch.zeros(a.kv_heads, context, a.head_dim))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, step: Any) -> Tensor:
        position, mask = step
        torch.ops.aten.index_put_(self.keys, [None, position], k.view(self.kv_heads, 1, self.head_dim))
        torch.ops.aten.index_put_(self.values, [None, position], v.view(self.kv_heads, 1, self.head_dim))
        q = (q * (1.0 / math.sqrt(self.head_dim))).view(self.kv_heads, -1, self.head_dim)  # [kv, heads per kv, d]
        weights = torch.softmax(torch.bmm(q, self.keys.transpose(1, 2)) + mask, dim=-1)  # [kv, heads per kv, context]
        return torch.bmm(weights, self.values).view(1, 1, self.heads * self.head_dim)


class CoreMLDecoder(PlainDecoder):
    """Tokens int64 [1, 1]; a tied matrix is one constant that is gathered from and multiplied with."""

    attention = CoreMLAttention
    norm_type = CoreMLNorm
    columns: Tensor

    def __init__(self, model: QuantizedModel, context: int) -> None:
        super().__init__(model, context)
        self.register_buffer("columns", torch.arange(context))

    def step(self, count: Any, start_pos: Tensor) -> tuple[Tensor, Tensor, Any]:
        mask = (self.columns > start_pos).to(self.cos.dtype).view(1, 1, -1) * MASKED  # integers: exact at any position
        return self.cos[start_pos].unsqueeze(1), self.sin[start_pos].unsqueeze(1), (start_pos, mask)
