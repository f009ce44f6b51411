"""Watching stages: the divergence of what two models say, whose reference is not computed anew for each stage."""

import pytest
import torch

from smolship.checkpoint import EMBEDDING, Checkpoint
from smolship.quantize.divergence import Watch
from smolship.reference import Reference

WINDOWS = {"low": torch.arange(3, 67).view(2, 32), "high": torch.arange(67, 131).view(2, 32)}


class Counted(Reference):
    """A reference that counts its forwards."""

    forwards = 0

    def block(self, layer: int, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        self.forwards += layer == 0
        return super().block(layer, x, cosines, sines)


def test_stages_are_held_against_what_the_reference_said_once(tiny_checkpoint: Checkpoint) -> None:
    reference = Counted(tiny_checkpoint.architecture, Reference.from_checkpoint(tiny_checkpoint).weights)
    changed = {**reference.weights, EMBEDDING: reference.weights[EMBEDDING] * 1.1}
    watch = Watch(WINDOWS)
    itself, other = watch.compare(reference, reference.weights), watch.compare(reference, changed)
    assert [(one.text, one.tokens, one.kl, one.top1) for one in itself] == [("low", 64, 0, 1), ("high", 64, 0, 1)]
    assert all(one.perplexity == one.reference_perplexity for one in itself)
    assert reference.forwards == 4
    assert other == Watch(WINDOWS).compare(reference, changed)
    for name, one in zip(WINDOWS, other, strict=True):
        p, q = (Reference(reference.architecture, w).logits(WINDOWS[name]) for w in (reference.weights, changed))
        p, q = p.log_softmax(-1), q.log_softmax(-1)
        assert one.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-3)


def test_another_reference_is_asked_for_itself(tiny_checkpoint: Checkpoint) -> None:
    reference = Reference.from_checkpoint(tiny_checkpoint)
    changed = {**reference.weights, EMBEDDING: reference.weights[EMBEDDING] * 1.1}
    watch = Watch(WINDOWS)
    watch.compare(reference, changed)
    again = watch.compare(Reference(reference.architecture, changed), changed)
    assert [one.kl for one in again] == [0, 0]
