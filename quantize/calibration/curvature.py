"""How much each direction of each weight matters: Fisher-weighted second moments of what flows through the matrices.

The KL divergence of a changed model is, to second order, ½·E[(Σ_t g_t · ΔW x_t)²] with g the gradient of the
log-likelihood of a token drawn from the model itself (Amari, "Natural gradient works efficiently in learning", 1998).
For each matrix that becomes the second moment of its inputs, each token weighted by the squared gradient at the output
(layer-wise rounding guided by the end loss: GuidedQuant, arXiv 2505.07004; two-sided: YAQA, arXiv 2505.22988).
"""

import torch
from torch import Tensor
from torch.nn import functional

from smolship.checkpoint import EMBEDDING
from smolship.progress import Progress, Silent
from smolship.quantize.calibration.texts import Calibration
from smolship.reference import Reference

TOKENS_AT_ONCE = 2048
"""whose activations are held for the backward pass: about 3 GB for the 135M model"""
_OUTWEIGH = 3.0
_HEAD_ROWS = 256
"""positions whose probabilities over the vocabulary are held at once"""


def divergence(error: Tensor, moment: Tensor) -> float:
    """What changing a matrix by `error` [out, in] adds to the KL divergence, to second order, in nats: ½·tr(E M Eᵀ)."""
    return 0.5 * float(((error @ moment) * error).sum())


class _Watched(Reference):
    """A reference whose matrices add to their moments while the gradient flows back."""

    def __init__(self, reference: Reference, leaf: Tensor) -> None:
        weights = {name: w.to(torch.bfloat16) if w.ndim == 2 else w for name, w in reference.weights.items()}
        super().__init__(reference.architecture, {**weights, EMBEDDING: leaf})
        self.moments = {
            name: torch.zeros(w.shape[1], w.shape[1], device=w.device) for name, w in weights.items() if w.ndim == 2
        }

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = functional.linear(x, self.weights[name])
        seen = x.detach().flatten(0, -2)  # [tokens, in]

        def add(gradient: Tensor) -> None:
            weights = _even(gradient.float().square().mean(-1)).flatten()  # [tokens]
            weighted = seen.float() * weights.sqrt()[:, None]
            self.moments[name].addmm_(weighted.T, weighted)

        y.register_hook(add)
        return y


def measure(
    reference: Reference, calibration: Calibration, seed: int = 0, progress: Progress = Silent()
) -> dict[str, Tensor]:
    """M [in, in] float32 of every matrix, the mean over tokens of (mean over outputs of g²)·x xᵀ; see `divergence`.

    One token is drawn at each position, with `seed`; products in bfloat16, sums in float32. The embedding's moment has
    both its uses in it, the head's inputs weighted by how undecided the model is and the gradient at the lookup, each
    spread over the vocabulary. About 5 ms a token for the 135M model on two cores.
    """
    embedding = reference.weights[EMBEDDING]
    leaf = embedding.detach().clone().requires_grad_(True)
    watched = _Watched(reference, leaf)
    head, tied = embedding.detach().to(torch.bfloat16), watched.moments[EMBEDDING]
    generator = torch.Generator().manual_seed(seed)
    with progress.task("measure curvature", calibration.tokens) as advance:
        for tokens in calibration.batches(TOKENS_AT_ONCE):
            with torch.autocast(embedding.device.type, torch.bfloat16):
                hidden = watched.hidden(tokens.to(embedding.device), differentiable=True)
            (gradient,) = torch.autograd.grad(hidden, leaf, _at_the_head(hidden.detach(), head, tied, generator))
            tied.addmm_(gradient.T, gradient)
            advance(tokens.numel())
    watched.moments[EMBEDDING] = tied / len(head)
    return {name: moment / calibration.tokens for name, moment in watched.moments.items()}


def _even(weights: Tensor) -> Tensor:
    """Token weights [sequences, length] with no sequence above a few times the median one.

    One opening in a hundred upsets the attention sink, and its two tokens would outweigh all others together.
    """
    shares = weights.mean(-1)  # [sequences]
    most = _OUTWEIGH * shares.median()
    return weights * (most / shares.clamp_min(1e-30)).clamp_max(1)[:, None]


def _at_the_head(hidden: Tensor, head: Tensor, tied: Tensor, generator: torch.Generator) -> Tensor:
    """The gradient of -log p(y) at the hidden states [..., hidden], y drawn from p; adds the head's part to `tied`."""
    flat = hidden.flatten(0, -2)
    gradient = torch.empty_like(flat)
    for start in range(0, len(flat), _HEAD_ROWS):
        h = flat[start : start + _HEAD_ROWS]
        p = (h.to(head.dtype) @ head.T).float().softmax(-1)
        drawn = torch.rand(len(p), 1, generator=generator).to(p.device)
        y = torch.searchsorted(p.cumsum(-1), drawn).clamp_max(p.shape[1] - 1)[:, 0]
        gradient[start : start + _HEAD_ROWS] = (p.to(head.dtype) @ head).float() - head[y].float()
        undecided = h * (1 - p.square().sum(-1, keepdim=True)).clamp_min(0).sqrt()  # Σ_v p_v (1 - p_v)
        tied.addmm_(undecided.T, undecided)
    return gradient.view_as(hidden)
