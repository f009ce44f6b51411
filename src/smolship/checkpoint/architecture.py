"""What SmolLM2 is: the numbers that every room needs, read from a checkpoint's own config, never guessed."""

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Architecture:
    """A Llama-architecture decoder (SmolLM2 paper, arXiv 2502.02737; HF `LlamaConfig`)."""

    vocabulary: int
    """rows of the embedding and of the head"""
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    norm_epsilon: float
    max_positions: int
    bos_id: int
    end_ids: tuple[int, ...]
    """every id that ends an answer: `<|im_end|>` (2) in Instruct models, `<|endoftext|>` (0) in base ones"""
    pad_id: int
    tied: bool = True
    """the head is the embedding, as in every SmolLM2; a fine-tune may have trained a head of its own"""

    @property
    def head(self) -> str:
        """The tensor that final hidden states are multiplied by."""
        return EMBEDDING if self.tied else HEAD

    @property
    def eos_id(self) -> int:
        """The first of them: what a chat template writes after a turn, if there is one."""
        return self.end_ids[0]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's Hugging Face name and shape ([out, in] for a matrix), in file order."""
        h, kv = self.hidden, self.kv_heads * self.head_dim
        q = self.heads * self.head_dim
        table: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocabulary, h)}
        for i in range(self.layers):
            p = f"model.layers.{i}."
            table |= {
                p + "input_layernorm.weight": (h,),
                p + "self_attn.q_proj.weight": (q, h),
                p + "self_attn.k_proj.weight": (kv, h),
                p + "self_attn.v_proj.weight": (kv, h),
                p + "self_attn.o_proj.weight": (h, q),
                p + "post_attention_layernorm.weight": (h,),
                p + "mlp.gate_proj.weight": (self.intermediate, h),
                p + "mlp.up_proj.weight": (self.intermediate, h),
                p + "mlp.down_proj.weight": (h, self.intermediate),
            }
        table |= {FINAL_NORM: (h,)}
        return table if self.tied else table | {HEAD: (self.vocabulary, h)}

    @property
    def parameters(self) -> int:
        """How many weights, the tied embedding counted once."""
        return sum(prod(shape) for shape in self.shapes().values())


EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"
