"""The graph that Vulkan is given: ExecuTorch's `llama::` attention, which its Vulkan backend has a shader for."""

from typing import Any

import torch
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the operators)
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers the operators)
from torch import Tensor, nn
from torch.nn import functional

from smolship.checkpoint.architecture import EMBEDDING, Architecture
from smolship.export.executorch.codes import INT4_GROUP
from smolship.export.executorch.delegates.plain import PlainAttention, PlainDecoder, PlainLinear
from smolship.export.executorch.layers import QuantisedEmbedding
from smolship.quantize import Blocks, QuantizedModel


class VulkanLinear(PlainLinear):
    """Groups of 4 bits become `et_vk.linear_q4gsw`, rows of 8 bits `aten._weight_int8pack_mm`, inputs in float."""

    def __init__(self, name: str, blocks: Blocks) -> None:
        super().__init__(name, blocks)
        self.by_row = blocks.grid != INT4_GROUP
        if self.by_row:  # the pattern for 8 bits is that of another operator, with one scale and zero a row
            self.scales, self.zeros = self.scales[:, 0].clone(), self.zeros[:, 0].to(torch.int64)

    def weight(self) -> Tensor:
        if not self.by_row:
            return super().weight()
        rows: Tensor = torch.ops.quantized_decomposed.dequantize_per_channel.default(
            self.codes, self.scales, self.zeros, 0, self.low, self.high, torch.int8
        )
        return rows


class VulkanTable(VulkanLinear):
    """Rows of W in place of a product with it."""

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight())


class VulkanAttention(PlainAttention):
    """Attention by `llama::custom_sdpa`, whose cache lives in the GPU's memory; caches [1, context, kv heads, d]."""

    keys: Tensor
    values: Tensor

    def make_cache(self, a: Architecture, context: int) -> None:
        self.register_buffer("keys", torch.zeros(1, context, a.kv_heads, a.head_dim))
        self.register_buffer("values", torch.zeros(1, context, a.kv_heads, a.head_dim))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, step: Any) -> Tensor:
        ops = torch.ops.llama
        ops.update_cache(k, self.keys, step)
        ops.update_cache(v, self.values, step)
        y = ops.custom_sdpa(q, self.keys, self.values, step, None, 0.0, True)
        flat: Tensor = y.view(1, -1, self.heads * self.head_dim)
        return flat


class VulkanDecoder(PlainDecoder):
    """Tokens int64 [1, n]; in 8 bits the embedding is gathered on the processor, as Vulkan has no operator for it."""

    attention = VulkanAttention
    linear = VulkanLinear

    def make_table(self, model: QuantizedModel) -> nn.Module:
        """Tensors of its own: the backend packs each operand for one use. Equal bytes are stored once all the same."""
        blocks = model.blocks(EMBEDDING, "executorch")
        return VulkanTable(EMBEDDING, blocks) if blocks.grid == INT4_GROUP else QuantisedEmbedding(EMBEDDING, blocks)

    def step(self, count: Any, start_pos: Tensor) -> tuple[Tensor, Tensor, Any]:
        start: Any = start_pos[0].item()
        torch.ops.aten.sym_constrain_range_for_size.default(start, min=0, max=self.context - 1)  # for the passes too
        torch._check(start + count <= self.context)  # noqa: SLF001  (torch's documented way to bound a symbolic int)
        cos, sin = (torch.narrow(table, 0, start, count).unsqueeze(1) for table in (self.cos, self.sin))
        return cos, sin, start
