"""How GGUF lays out a Llama checkpoint: its tensor names and its row order of q and k, both ways.

Source: convert_hf_to_gguf.py and gguf-py's tensor_mapping.py in llama.cpp.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, HEAD, Architecture

_OUTER = {EMBEDDING: "token_embd.weight", FINAL_NORM: "output_norm.weight", HEAD: "output.weight"}
_BLOCK = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}

Scalar = TypeVar("Scalar", bound=np.generic)


def gguf_name(name: str) -> str:
    """The GGUF name of a tensor with this Hugging Face name; `KeyError` for a name that is not SmolLM2's."""
    if name in _OUTER:
        return _OUTER[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_BLOCK[rest]}"


def rotary_heads(name: str, architecture: Architecture) -> int | None:
    """How many heads share a tensor's rows if llama.cpp permutes them (q and k), else `None`."""
    if name.endswith("self_attn.q_proj.weight"):
        return architecture.heads
    if name.endswith("self_attn.k_proj.weight"):
        return architecture.kv_heads
    return None


def to_gguf_rows(rows: NDArray[Scalar], heads: int | None) -> NDArray[Scalar]:
    """Rows [heads · head_dim, …] with rotary halves side by side (Hugging Face) to rotary pairs interleaved (GGUF)."""
    if heads is None:
        return rows
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def from_gguf_rows(rows: NDArray[Scalar], heads: int | None) -> NDArray[Scalar]:
    """The inverse of `to_gguf_rows`."""
    if heads is None:
        return rows
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
