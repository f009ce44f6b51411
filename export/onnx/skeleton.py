"""The torch model that Optimum traces: SmolLM2's own code with every matrix replaced by a node that carries its name.

A trace of the real model would write every weight as float32 (7 GB for the 1.7B) and rename the ones it transposes.
The skeleton has no matrices at all: a linear layer and the embedding become the operators `smolship::Linear` and
`smolship::Embedding`, whose `name` attribute says which tensor belongs there. Norm gains are small and stay.
"""

from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from smolship.checkpoint.architecture import Architecture
from smolship.export.onnx.passes.walk import STAND_IN

LINEAR = "Linear"
EMBED = "Embedding"


def llama_config(a: Architecture) -> LlamaConfig:
    """The transformers configuration of an architecture."""
    return LlamaConfig(
        vocab_size=a.vocabulary,
        hidden_size=a.hidden,
        intermediate_size=a.intermediate,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        head_dim=a.head_dim,
        rope_theta=a.rope_theta,
        rms_norm_eps=a.norm_epsilon,
        max_position_embeddings=a.max_positions,
        bos_token_id=a.bos_id,
        eos_token_id=a.eos_id,
        pad_token_id=a.pad_id,
        tie_word_embeddings=a.tied,
        attention_bias=False,
        mlp_bias=False,
        hidden_act="silu",
        dtype="float32",
        architectures=["LlamaForCausalLM"],
    )


class _LinearNode(torch.autograd.Function):
    """`x` [..., in] -> [..., out], exported as `smolship::Linear(x)` with the tensor's name; computes zeros."""

    @staticmethod
    def symbolic(g: Any, x: Any, name: str, out: int) -> Any:
        return g.op(f"{STAND_IN}::{LINEAR}", x, name_s=name)

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, name: str, out: int) -> torch.Tensor:
        return x.new_zeros((*x.shape[:-1], out))


class _EmbeddingNode(torch.autograd.Function):
    """ids [...] -> [..., hidden], exported as `smolship::Embedding(ids)` with the tensor's name; computes zeros."""

    @staticmethod
    def symbolic(g: Any, ids: Any, name: str, hidden: int) -> Any:
        return g.op(f"{STAND_IN}::{EMBED}", ids, name_s=name)

    @staticmethod
    def forward(ctx: Any, ids: torch.Tensor, name: str, hidden: int) -> torch.Tensor:
        return torch.zeros((*ids.shape, hidden))


class _Named(nn.Module):
    """A layer without weights that stands for the tensor `name`."""

    def __init__(self, function: type[torch.autograd.Function], name: str, width: int) -> None:
        super().__init__()
        self.function, self.name, self.width = function, name, width

    def forward(self, x: torch.Tensor) -> Any:
        return self.function.apply(x, self.name, self.width)


def skeleton(a: Architecture) -> LlamaForCausalLM:
    """A traceable model with no matrices; each norm's gain is one distinct number, so that no tracer merges two."""
    with torch.device("meta"):
        model = LlamaForCausalLM(llama_config(a))
    model.model.rotary_emb = LlamaRotaryEmbedding(model.config)  # its table of frequencies is not a weight
    norms = 0
    for path, module in list(model.named_modules()):
        parent, _, leaf = path.rpartition(".")
        if isinstance(module, nn.Linear):
            tensor = a.head if path == "lm_head" else f"{path}.weight"
            setattr(model.get_submodule(parent), leaf, _Named(_LinearNode, tensor, module.out_features))
        elif isinstance(module, nn.Embedding):
            setattr(model.get_submodule(parent), leaf, _Named(_EmbeddingNode, f"{path}.weight", module.embedding_dim))
        elif isinstance(module, LlamaRMSNorm):
            norms += 1
            module.weight = nn.Parameter(torch.full(tuple(module.weight.shape), float(norms)))
    model.eval()
    return model
