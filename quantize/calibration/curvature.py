"""How much each direction of each weight matters: Fisher-weighted second moments of what flows through the matrices.

The KL divergence of a changed model is, to second order, ½·E[(Σ_t g_t · ΔW x_t)²] with g the gradient of the
log-likelihood of a token drawn from the model itself (Amari, "Natural gradient works efficiently in learning", 1998).
For each matrix that becomes the second moment of its inputs, each token weighted by the squared gradient at the output
(layer-wise rounding guided by the end loss: GuidedQuant, arXiv 2505.07004; two-sided: YAQA, arXiv 2505.22988).
"""

from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from smolship.checkpoint import EMBEDDING
from smolship.progress import Progress, Silent
from smolship.quantize.calibration.gram import Gram
from smolship.quantize.calibration.texts import Calibration
from smolship.reference import Reference

TOKENS_AT_ONCE = 512
"""whose activations are held for the backward pass: about 0.9 GB for the 135M model in float32"""
_OUTWEIGH = 3.0
_HEAD_ROWS = 128
"""positions whose probabilities over the vocabulary are held at once"""


def divergence(error: Tensor, moment: Tensor) -> float:
    """What changing a matrix by `error` [out, in] adds to the KL divergence, to second order, in nats: ½·tr(E M Eᵀ)."""
    return 0.5 * float(((error @ moment) * error).sum())


class _Watched(Reference):
    """A reference whose matrices add to their moments while the gradient flows back."""

    def __init__(self, reference: Reference, precision: torch.dtype) -> None:
        weights = {name: w.to(precision) if w.ndim == 2 else w for name, w in reference.weights.items()}
        super().__init__(reference.architecture, {**weights, EMBEDDING: reference.weights[EMBEDDING]})
        self.moments = {name: Gram(w.shape[1], w.device) for name, w in weights.items() if w.ndim == 2}
        self._shares: dict[tuple[str, int], list[float]] = {}  # small tensors would keep torch's memory in pieces

    def embed(self, ids: Tensor) -> Tensor:
        x = super().embed(ids).requires_grad_(True)
        words, which = ids.unique(return_inverse=True)

        def add(gradient: Tensor) -> None:
            of_words = torch.zeros(len(words), gradient.shape[-1], device=gradient.device)
            of_words.index_add_(0, which.flatten(), gradient.flatten(0, -2))
            self.moments[EMBEDDING].add(of_words, torch.ones(len(words), device=gradient.device))

        x.register_hook(add)
        return x

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = functional.linear(x, self.weights[name])
        seen = x.detach().flatten(0, -2)  # [tokens, in]

        def add(gradient: Tensor) -> None:
            weights = self._even(name, gradient.float().square().mean(-1))  # [sequences, length]
            self.moments[name].add(seen.float(), weights.flatten())

        y.register_hook(add)
        return y

    def _even(self, name: str, weights: Tensor) -> Tensor:
        """Token weights [sequences, length] with no window above a few times the median one of its length so far.

        One opening in a hundred upsets the attention sink, and its two tokens would outweigh all others together.
        """
        shares = weights.mean(-1)  # [sequences]
        so_far = self._shares.setdefault((name, weights.shape[-1]), [])
        so_far += shares.tolist()
        most = _OUTWEIGH * median(so_far)
        return weights * (most / shares.clamp_min(1e-30)).clamp_max(1)[:, None]


def measure(
    reference: Reference, calibration: Calibration, seed: int = 0, progress: Progress = Silent()
) -> dict[str, Tensor]:
    """M [in, in] float32 of every matrix, the mean over tokens of (mean over outputs of g²)·x xᵀ; see `divergence`.

    One token is drawn at each position, with `seed`; products in the calibration's precision, sums in float32. The
    head's inputs are weighted by how undecided the model is, and spread over the vocabulary, as the embedding's
    gradient at the lookup is; a tied matrix has both in its moment. About 7 ms a token for the 135M model in float32 on
    two cores with AVX2.
    """
    precision = calibration.precision
    embedding = reference.weights[EMBEDDING]
    watched = _Watched(reference, precision)
    name_of_head = reference.architecture.head
    head, at_head = reference.weights[name_of_head].to(precision), watched.moments[name_of_head]
    generator = torch.Generator().manual_seed(seed)
    with progress.task("measure curvature", calibration.tokens) as advance:
        for tokens in calibration.batches(TOKENS_AT_ONCE):
            with torch.autocast(embedding.device.type, precision, enabled=precision != torch.float32):
                hidden = watched.hidden(tokens.to(embedding.device), differentiable=True)
            hidden.backward(_at_the_head(hidden.detach(), head, at_head, generator))
            del hidden  # its graph holds every matrix's inputs
            advance(tokens.numel())
    grams, moments = watched.moments, dict[str, Tensor]()
    while grams:  # each sum is let go of as soon as its moment is there
        name, gram = grams.popitem()
        moments[name] = gram.total().div_(calibration.tokens * (len(head) if name in (EMBEDDING, name_of_head) else 1))
    return moments


def _at_the_head(hidden: Tensor, head: Tensor, moment: Gram, generator: torch.Generator) -> Tensor:
    """The gradient of -log p(y) at the hidden states [..., hidden], y drawn from p; adds its inputs to `moment`."""
    flat = hidden.flatten(0, -2)
    gradient = torch.empty_like(flat)
    for start in range(0, len(flat), _HEAD_ROWS):
        h = flat[start : start + _HEAD_ROWS]
        p = (h.to(head.dtype) @ head.T).float().softmax(-1)
        drawn = torch.rand(len(p), 1, generator=generator).to(p.device)
        y = torch.searchsorted(p.cumsum(-1), drawn).clamp_max(p.shape[1] - 1)[:, 0]
        gradient[start : start + _HEAD_ROWS] = (p.to(head.dtype) @ head).float() - head[y].float()
        moment.add(h, (1 - p.square().sum(-1)).clamp_min(0))  # Σ_v p_v (1 - p_v)
    return gradient.view_as(hidden)
