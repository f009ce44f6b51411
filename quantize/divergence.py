"""How far weights are from the checkpoint's by what the two models say: KL divergence, top-1, perplexity."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smolship.quantize.solution import Divergence
from smolship.reference import Reference

_ROWS = 128
"""positions whose logits are held at once"""


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
            _window(reference, hidden, other, other.hidden(window), window)
            for hidden, window in zip(self._hidden[reference, name], windows, strict=True)
        ]
        kl, same, p, q = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
        perplexities = torch.tensor([p, q]).exp().tolist()
        return Divergence(name, windows.numel(), kl, same, perplexities[1], perplexities[0])


def _window(
    reference: Reference, there: Tensor, other: Reference, here: Tensor, tokens: Tensor
) -> tuple[float, float, float, float]:
    """Means over one window's positions: KL, top-1 agreement, and both models' negative log-likelihoods.

    `there` and `here` are the models' final hidden states [length, hidden].
    """
    following = torch.cat([tokens[1:], tokens[:1]])[:, None].to(there.device)  # after the last one nothing is asked for
    sums, losses = torch.zeros(2, dtype=torch.float64), list[Tensor]()
    for start in range(0, len(tokens), _ROWS):
        rows = slice(start, start + _ROWS)
        p = reference.head(there[rows]).log_softmax(-1)
        q = other.head(here[rows]).log_softmax(-1)
        losses.append(-torch.cat([logs.gather(1, following[rows]) for logs in (p, q)], dim=1))  # [rows, 2]
        same = (p.argmax(-1) == q.argmax(-1)).float().sum()
        sums += torch.tensor([float((p.exp() * (p - q)).sum()), float(same)])
    kl, top1 = (sums / len(tokens)).tolist()
    ours, theirs = torch.cat(losses)[:-1].mean(0).tolist()
    return kl, top1, ours, theirs
