"""The reference forward of SmolLM2 in float32 torch: what calibration, distillation and every check hold against.

Written out by hand (no transformers), so that it stays small, differentiable and the same on every version; the tests
hold it against transformers' `LlamaForCausalLM`. Architecture: arXiv 2502.02737; rotary positions in halves, as in
Hugging Face's code.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from smolship.checkpoint import EMBEDDING, FINAL_NORM, Architecture, Checkpoint
from smolship.progress import Progress, Silent

Tokens = Sequence[int] | Tensor
"""Token ids of one sequence, [n]."""


class Reference:
    """A SmolLM2 whose weights are given by Hugging Face name; any of them may require gradients."""

    def __init__(self, architecture: Architecture, weights: Mapping[str, Tensor]) -> None:
        """`weights` float32 in the shapes of `architecture.shapes()`; they are used, not copied."""
        self.architecture = architecture
        self.weights = weights

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, threads: int | None = None, progress: Progress = Silent()
    ) -> "Reference":
        """All weights of a checkpoint in memory, 4 bytes a weight; `threads` sets torch's for this process."""
        if threads is not None:
            torch.set_num_threads(threads)
        names = checkpoint.architecture.shapes()
        weights = {}
        with progress.task(f"Loading {checkpoint.name}", len(names)) as advance:
            for name in names:
                weights[name] = torch.from_numpy(checkpoint.tensors.read(name))
                advance(1)
        return cls(checkpoint.architecture, weights)

    def hidden(self, tokens: Tokens, *, differentiable: bool = False) -> Tensor:
        """The final hidden states, after the last norm: float32 [n, hidden]."""
        with torch.set_grad_enabled(differentiable):
            x = functional.embedding(torch.as_tensor(tokens, dtype=torch.long), self.weights[EMBEDDING])
            cosines, sines = rotary(self.architecture, x.shape[0])
            for layer in range(self.architecture.layers):
                x = self.block(layer, x, cosines, sines)
            return self._norm(x, FINAL_NORM)

    def logits(self, tokens: Tokens, *, differentiable: bool = False) -> Tensor:
        """The next-token logits at every position: float32 [n, vocabulary]."""
        with torch.set_grad_enabled(differentiable):
            return functional.linear(self.hidden(tokens, differentiable=differentiable), self.weights[EMBEDDING])

    def block(self, layer: int, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """One decoder layer: x [n, hidden] to [n, hidden]; `cosines` and `sines` from `rotary`."""
        p = f"model.layers.{layer}."
        x = x + self._attention(p + "self_attn.", self._norm(x, p + "input_layernorm.weight"), cosines, sines)
        y = self._norm(x, p + "post_attention_layernorm.weight")
        gate = functional.silu(functional.linear(y, self.weights[p + "mlp.gate_proj.weight"]))
        up = functional.linear(y, self.weights[p + "mlp.up_proj.weight"])
        return x + functional.linear(gate * up, self.weights[p + "mlp.down_proj.weight"])

    def _attention(self, p: str, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        a = self.architecture
        n = x.shape[0]
        q = (
            functional.linear(x, self.weights[p + "q_proj.weight"]).view(n, a.heads, a.head_dim).transpose(0, 1)
        )  # [heads, n, d]
        k = functional.linear(x, self.weights[p + "k_proj.weight"]).view(n, a.kv_heads, a.head_dim).transpose(0, 1)
        v = functional.linear(x, self.weights[p + "v_proj.weight"]).view(n, a.kv_heads, a.head_dim).transpose(0, 1)
        q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
        shared = a.heads // a.kv_heads
        k, v = k.repeat_interleave(shared, 0), v.repeat_interleave(shared, 0)
        y = functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
        return functional.linear(y.transpose(0, 1).reshape(n, a.heads * a.head_dim), self.weights[p + "o_proj.weight"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weights[name], self.architecture.norm_epsilon)


def rotary(architecture: Architecture, n: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions 0 to n - 1, float32 [n, head_dim] each, the two halves alike."""
    d = architecture.head_dim
    frequencies = 1.0 / architecture.rope_theta ** (torch.arange(0, d, 2, dtype=torch.int64).float() / d)
    angles = torch.outer(torch.arange(n, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary positions applied to x [heads, n, head_dim], a dimension paired with the one half a head away."""
    low, high = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-high, low), dim=-1) * sines
