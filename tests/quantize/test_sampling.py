"""Text that the checkpoint writes: words by their odds, the same again, in the precision that is asked for."""

import pytest
import torch

from smolship.checkpoint import Checkpoint
from smolship.quantize.calibration.sampling import BATCH, draw, openings, sample
from smolship.reference import Reference


@pytest.mark.parametrize("vocabulary", [7, 512])
def test_words_are_drawn_by_their_odds(vocabulary: int) -> None:
    random = torch.Generator().manual_seed(0)
    logits, n = torch.randn(vocabulary, generator=random), 40000
    drawn = draw(logits.expand(n, -1), (torch.arange(n) + 0.5) / n)
    found = torch.bincount(drawn, minlength=vocabulary) / n
    assert torch.allclose(found, logits.softmax(-1), atol=2 / n * 10)


def test_a_word_without_odds_is_never_drawn() -> None:
    logits = torch.full((3, 512), -torch.inf)
    logits[:, 300] = 1.0
    assert draw(logits, torch.tensor([0.0, 0.5, 1 - 2**-24])).tolist() == [300, 300, 300]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_samples_begin_with_their_opening_and_are_the_same_again(
    tiny_checkpoint: Checkpoint, precision: torch.dtype
) -> None:
    reference = Reference.from_checkpoint(tiny_checkpoint)
    begun = openings(tiny_checkpoint.tokenizer, BATCH + 2)
    once, again = (sample(reference, begun, 16, 0, precision) for _ in range(2))
    assert once.shape == (BATCH + 2, 16)
    assert torch.equal(once, again)
    for row, opening in zip(once.tolist(), begun, strict=True):
        given = opening.tokens[:16]
        assert row[: len(given)] == list(given)


def test_samples_follow_what_the_reference_finds_likely(tiny_checkpoint: Checkpoint) -> None:
    """The mean log-probability of drawn words is minus the entropy, where the cache holds what it should."""
    reference = Reference.from_checkpoint(tiny_checkpoint)
    sharper = Reference(
        reference.architecture, {n: w * (4 if "embed" in n else 1) for n, w in reference.weights.items()}
    )
    begun = [o for o in openings(tiny_checkpoint.tokenizer, 64) if o.temperature == 1.0 and len(o.tokens) < 9]
    tokens = sample(sharper, begun, 24, 0, torch.float32)
    logs = sharper.logits(tokens).log_softmax(-1)[:, 8:-1]
    said = logs.gather(-1, tokens[:, 9:, None])[..., 0]
    entropy = -(logs.exp() * logs).sum(-1)
    assert float((said + entropy).mean().abs()) < 4 * float((said + entropy).std()) / said.numel() ** 0.5
