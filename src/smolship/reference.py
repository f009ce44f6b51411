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
"""Token ids of one sequence, [n], or of a batch of them, [..., n]."""


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
        """The final hidden states, after the last norm: float32 [..., n, hidden]."""
        with torch.set_grad_enabled(differentiable):
            x = self.embed(self._ids(tokens))
            cosines, sines = rotary(self.architecture, x.shape[-2], x.device)
            for layer in range(self.architecture.layers):
                x = self.block(layer, x, cosines, sines)
            return self._norm(x, FINAL_NORM)

    def logits(self, tokens: Tokens, *, differentiable: bool = False) -> Tensor:
        """The next-token logits at every position: float32 [..., n, vocabulary]."""
        with torch.set_grad_enabled(differentiable):
            return self.head(self.hidden(tokens, differentiable=differentiable))

    def head(self, hidden: Tensor) -> Tensor:
        """The logits [..., vocabulary] of final hidden states [..., hidden]."""
        return self.linear(hidden, self.architecture.head)

    def block(self, layer: int, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """One decoder layer: x [..., n, hidden] to the same shape; `cosines` and `sines` from `rotary`."""
        p = f"model.layers.{layer}."
        x = x + self._attention(p + "self_attn.", self._norm(x, p + "input_layernorm.weight"), cosines, sines)
        y = self._norm(x, p + "post_attention_layernorm.weight")
        gate = functional.silu(self.linear(y, p + "mlp.gate_proj.weight"))
        up = self.linear(y, p + "mlp.up_proj.weight")
        return x + self.linear(gate * up, p + "mlp.down_proj.weight")

    def embed(self, ids: Tensor) -> Tensor:
        """Rows of the embedding for int64 ids [..., n]: [..., n, hidden]; calibration overrides it to watch."""
        return functional.embedding(ids, self.weights[EMBEDDING])

    def linear(self, x: Tensor, name: str) -> Tensor:
        """Inputs [..., in] through the matrix of that name to [..., out]; calibration overrides it to watch."""
        return functional.linear(x, self.weights[name])

    def _attention(self, p: str, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        a = self.architecture
        q = heads(self.linear(x, p + "q_proj.weight"), a.heads)  # [..., heads, n, d]
        k = heads(self.linear(x, p + "k_proj.weight"), a.kv_heads)
        v = heads(self.linear(x, p + "v_proj.weight"), a.kv_heads)
        q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
        shared = a.heads // a.kv_heads
        k, v = k.repeat_interleave(shared, -3), v.repeat_interleave(shared, -3)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear(y.transpose(-3, -2).flatten(-2), p + "o_proj.weight")

    def _ids(self, tokens: Tokens) -> Tensor:
        return torch.as_tensor(tokens, dtype=torch.long, device=self.weights[EMBEDDING].device)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weights[name], self.architecture.norm_epsilon)


def rotary(architecture: Architecture, n: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions 0 to n - 1, float32 [n, head_dim] each, the two halves alike."""
    d = architecture.head_dim
    frequencies = 1.0 / architecture.rope_theta ** (torch.arange(0, d, 2, dtype=torch.int64).float() / d)
    angles = torch.outer(torch.arange(n, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles.cos().to(device), angles.sin().to(device)


def heads(x: Tensor, count: int) -> Tensor:
    """Cut [..., n, count · d] into heads: [..., count, n, d]."""
    return x.unflatten(-1, (count, -1)).transpose(-3, -2)  # type: ignore[no-any-return]


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary positions applied to x [..., n, head_dim], a dimension paired with the one half a head away."""
    low, high = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-high, low), dim=-1) * sines
