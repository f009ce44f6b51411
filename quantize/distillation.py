"""Self-distillation: what is not rounded yet makes up for what is, under the checkpoint's own next-token distribution.

The loss is the mean KL divergence from the float32 checkpoint to the half-rounded model on calibration text (Hinton et
al., arXiv 1503.02531; data sampled from the model itself: LLM-QAT, arXiv 2305.17888). Only columns that are not rounded
yet and the norms' gains move, as in incremental quantisation (INQ, arXiv 1702.03044), so that nothing has to be
differentiated through rounding.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING
from smolship.progress import Progress, Silent
from smolship.quantize.calibration import Calibration
from smolship.quantize.calibration.curvature import gradient_of
from smolship.reference import Reference

_HEAD_ROWS = 512
_BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Tuning:
    """One stage of AdamW without decay, the rate warmed up over four steps and let down by half a cosine."""

    steps: int
    tokens: int = 2048
    """of a step"""
    rate: float = 2e-5
    """of weights, absolute; gains of norms move at `gain_rate`"""
    gain_rate: float = 1e-4


def distil(
    reference: Reference,
    weights: Mapping[str, Tensor],
    free: Mapping[str, Tensor],
    calibration: Calibration,
    tuning: Tuning,
    seed: int = 0,
    progress: Progress = Silent(),
) -> dict[str, Tensor]:
    """`weights` after tuning: columns where `free` (bool [in], by tensor) is true, and the gains of the norms.

    The embedding and what `free` leaves out stay as they are. Same inputs, same result on the same kind of machine.
    """
    trained = {name: mask for name, mask in free.items() if name != EMBEDDING and bool(mask.any())}
    gains = [name for name, w in weights.items() if w.ndim == 1]
    now = {name: w.clone() if name in trained or name in gains else w for name, w in weights.items()}
    state = {name: (torch.zeros_like(now[name]), torch.zeros_like(now[name])) for name in (*trained, *gains)}
    batches = _batches(calibration, tuning, seed)
    smooth = 0.0
    with progress.task("distil", tuning.steps) as advance:
        for step in range(tuning.steps):
            leaves = {n: w.detach().requires_grad_(n in state) for n, w in now.items()}
            loss = _gradients(reference, leaves, next(batches))
            smooth = loss if step == 0 else 0.9 * smooth + 0.1 * loss
            for name, (m, v) in state.items():
                gradient = gradient_of(leaves[name])
                if name in trained:
                    gradient = gradient * trained[name]
                rate = tuning.gain_rate if name in gains else tuning.rate
                now[name] = leaves[name].detach().sub_(_adam(gradient, m, v, step), alpha=rate * _share(step, tuning))
            advance(1)
    return now


def _share(step: int, tuning: Tuning) -> float:
    """Of the full rate, at that step."""
    return min(1.0, (step + 1) / 4) * (0.5 + 0.5 * math.cos(math.pi * step / tuning.steps))


def _adam(gradient: Tensor, m: Tensor, v: Tensor, step: int) -> Tensor:
    """Adam's direction (arXiv 1412.6980); moves the running moments."""
    first, second = _BETAS
    m.mul_(first).add_(gradient, alpha=1 - first)
    v.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    return (m / (1 - first ** (step + 1))) / ((v / (1 - second ** (step + 1))).sqrt_().add_(1e-12))


def _batches(calibration: Calibration, tuning: Tuning, seed: int) -> Iterator[Tensor]:
    """Batches in an order of their own for each seed, again and again."""
    found = list(calibration.batches(tuning.tokens))
    generator = torch.Generator().manual_seed(seed)
    while True:
        for index in torch.randperm(len(found), generator=generator).tolist():
            yield found[index]


def _gradients(reference: Reference, leaves: Mapping[str, Tensor], tokens: Tensor) -> float:
    """The mean KL divergence on `tokens`, whose gradient is left in `leaves`; products in bfloat16."""
    kind = leaves[EMBEDDING].device.type
    with torch.autocast(kind, torch.bfloat16):
        taught = reference.hidden(tokens)
        hidden = Reference(reference.architecture, leaves).hidden(tokens, differentiable=True)
    teacher, student = (w[EMBEDDING].detach().to(torch.bfloat16) for w in (reference.weights, leaves))
    flat, target = hidden.detach().to(torch.bfloat16).flatten(0, -2), taught.to(torch.bfloat16).flatten(0, -2)
    gradient = torch.empty(flat.shape, device=flat.device)
    total = 0.0
    for start in range(0, len(flat), _HEAD_ROWS):
        rows = slice(start, start + _HEAD_ROWS)
        p = (target[rows] @ teacher.T).float().log_softmax(-1)
        q = (flat[rows] @ student.T).float().log_softmax(-1)
        total += float((p.exp() * (p - q)).sum())
        gradient[rows] = ((q.exp() - p.exp()).to(torch.bfloat16) @ student).float()
    hidden.backward(gradient.view_as(hidden) / len(flat))
    return total / len(flat)
