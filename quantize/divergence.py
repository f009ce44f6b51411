"""How far weights are from the checkpoint's by what the two models say: KL divergence, top-1, perplexity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING
from smolship.quantize.solution import Divergence
from smolship.reference import Reference


@dataclass(frozen=True, eq=False)
class Watch:
    """Texts on which stages are compared: never the calibration's."""

    windows: Mapping[str, Tensor]
    """int64 [n, length] by name"""
    _hidden: dict[tuple[Reference, str], list[Tensor]] = field(default_factory=dict)
    """the final hidden states [length, hidden] of each window, by reference and text: small beside the logits"""

    def compare(self, reference: Reference, weights: Mapping[str, Tensor]) -> tuple[Divergence, ...]:
        """The model of `weights` against `reference` on every text; of the reference only the head runs again."""
        other = Reference(reference.architecture, weights)
        return tuple(self._compare(reference, other, name) for name in self.windows)

    def _compare(self, reference: Reference, other: Reference, name: str) -> Divergence:
        windows = self.windows[name]
        if (reference, name) not in self._hidden:
            self._hidden[reference, name] = [reference.hidden(window) for window in windows]
        rows = [
            _window(reference.linear(hidden, EMBEDDING), other.logits(window), window)
            for hidden, window in zip(self._hidden[reference, name], windows, strict=True)
        ]
        kl, same, p, q = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
        perplexities = torch.tensor([p, q]).exp().tolist()
        return Divergence(name, windows.numel(), kl, same, perplexities[1], perplexities[0])


def _window(reference: Tensor, other: Tensor, tokens: Tensor) -> Sequence[float]:
    """Means over one window's positions: KL, top-1 agreement, and both models' negative log-likelihoods."""
    p, q = reference.log_softmax(-1), other.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1).mean()
    same = (p.argmax(-1) == q.argmax(-1)).float().mean()
    following = tokens[1:, None].to(p.device)
    losses = [-logs[:-1].gather(1, following).mean() for logs in (p, q)]
    return [float(kl), float(same), float(losses[0]), float(losses[1])]
