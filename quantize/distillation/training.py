"""The steps of distillation: Adam on the logs of scales and gains, kept on disk on the way so that a run can go on."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from smolship.checkpoint import EMBEDDING
from smolship.progress import Progress, Silent
from smolship.quantize.cache import keep, kept
from smolship.quantize.calibration import Calibration
from smolship.quantize.distillation.loss import divergence_at_head
from smolship.quantize.distillation.student import Student
from smolship.reference import Reference


@dataclass(frozen=True)
class Tuning:
    """Adam (arXiv 1412.6980), its rate warmed up, then let down by half a cosine."""

    steps: int = 120
    tokens: int = 4096
    """of a step"""
    rate: float = 1.8e-3
    """by how much of itself a scale or gain moves in a step, at most about"""
    warm_up: int = 5
    """steps"""
    betas: tuple[float, float] = (0.9, 0.95)
    short: int = 128
    """tokens of a window in every other step: a window's beginning is where the model knows least"""
    passes: int = 6
    """over the text, at most: a short one is soon known by heart"""
    keep_every: int = 10
    """steps between two writings to disk"""

    def within(self, calibration: Calibration) -> "Tuning":
        """The same with as many steps as the passes allow."""
        count, length = calibration.sequences.shape
        return replace(self, steps=min(self.steps, max(1, self.passes * count // self.sequences(length))))

    def sequences(self, length: int) -> int:
        """How many of a step."""
        return max(1, self.tokens // length)

    def share(self, step: int) -> float:
        """Of the rate, at that step."""
        return min(1.0, (step + 1) / self.warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))


TUNING = Tuning()
"""what the recipes do"""


def train(
    student: Student,
    teacher: Reference,
    calibration: Calibration,
    tuning: Tuning,
    place: Path,
    progress: Progress = Silent(),
) -> None:
    """Move the student's logs towards the teacher's next-token distribution on the calibration text.

    What stands at `place` from a run that was stopped is gone on from, to the same numbers that an uninterrupted run
    gives on the same kind of machine; whoever has put the result away removes it. Products are in the calibration's
    precision, sums in float32.
    """
    optimizer = torch.optim.Adam([student.logs], betas=tuning.betas, eps=1e-15)
    begun = _resume(student, optimizer, place)
    precision = calibration.precision
    taught_by = Reference(
        teacher.architecture,
        {n: w.to(precision) if w.ndim == 2 and n != EMBEDDING else w for n, w in teacher.weights.items()},
    )
    smooth: float | None = None
    with progress.task("distil", tuning.steps) as advance:
        advance(begun)
        for step in range(begun, tuning.steps):
            optimizer.param_groups[0]["lr"] = tuning.rate * tuning.share(step)
            optimizer.zero_grad()
            loss = _backward(student, taught_by, batch(calibration, tuning, step), precision)
            optimizer.step()
            smooth = loss if smooth is None else 0.9 * smooth + 0.1 * loss
            advance(1, f"distil, {smooth:.4f} nats")
            if (step + 1) % tuning.keep_every == 0 or step + 1 == tuning.steps:
                _keep(student, optimizer, place, step + 1)


def batch(calibration: Calibration, tuning: Tuning, step: int) -> Tensor:
    """The windows of a step, int64 [n, length]: all sequences in an order of chance, then again in another."""
    sequences = calibration.sequences
    count, length = sequences.shape
    size = tuning.sequences(length)
    chosen = []
    for index in range(step * size, step * size + size):
        generator = torch.Generator().manual_seed(index // count)
        chosen.append(int(torch.randperm(count, generator=generator)[index % count]))
    windows = sequences[chosen]
    if step % 2 == 0 or length % tuning.short:
        return windows
    return windows.view(-1, tuning.short)


def _backward(student: Student, teacher: Reference, tokens: Tensor, precision: torch.dtype) -> float:
    """The loss on `tokens`, its gradient added to the student's logs."""
    model = student.model()
    trained, teaching = (each.weights[each.architecture.head] for each in (model, teacher))
    with torch.autocast(trained.device.type, precision, enabled=precision != torch.float32):
        taught = teacher.hidden(tokens)
        hidden = model.hidden(tokens, differentiable=True)
    heads = [w.detach().to(precision) for w in (trained, teaching)]
    loss, at_hidden, at_head = divergence_at_head(hidden, heads[0], taught, heads[1], train_head=student.trains_head)
    if at_head is None:
        hidden.backward(at_hidden)
    else:
        torch.autograd.backward([hidden, trained], [at_hidden, at_head])
    return loss


def _keep(student: Student, optimizer: torch.optim.Adam, place: Path, step: int) -> None:
    state = optimizer.state[student.logs]
    tensors = {"logs": student.logs.detach(), "first": state["exp_avg"], "second": state["exp_avg_sq"]}
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    keep(place, {**arrays, "step": torch.tensor(step).numpy()})


def _resume(student: Student, optimizer: torch.optim.Adam, place: Path) -> int:
    """Which step comes next, after what `place` has."""
    if (found := kept(place)) is None:
        return 0
    logs, first, second = (torch.from_numpy(found[name]).to(student.logs) for name in ("logs", "first", "second"))
    student.logs.data.copy_(logs)
    step = torch.tensor(float(found["step"]))
    optimizer.state[student.logs] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    return int(found["step"])
