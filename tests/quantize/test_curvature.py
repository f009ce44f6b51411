"""What curvature is made of: half of a sum of outer products, and a gradient whose second moment is Fisher's."""

import pytest
import torch

from smolship.checkpoint import Checkpoint
from smolship.quantize.calibration import Calibration
from smolship.quantize.calibration.curvature import _at_the_head, measure
from smolship.quantize.calibration.gram import Gram
from smolship.reference import Reference


@pytest.mark.parametrize("size", [3, 8, 64])
def test_half_of_the_products_make_the_whole_sum(size: int) -> None:
    random = torch.Generator().manual_seed(size)
    x, weights = torch.randn(50, size, generator=random), torch.rand(50, generator=random)
    gram = Gram(size, x.device)
    gram.add(x[:20], weights[:20])
    gram.add(x[20:], weights[20:])
    assert torch.allclose(gram.total(), x.T @ (x * weights[:, None]), atol=1e-4)
    assert torch.equal(gram.total(), gram.total().T)


def test_the_gradient_at_the_hidden_states_has_fisher_s_second_moment() -> None:
    random = torch.Generator().manual_seed(0)
    head, hidden = torch.randn(12, 4, generator=random), torch.randn(4, generator=random)
    p = (head @ hidden).softmax(-1)
    fisher = head.T @ (p.diag() - torch.outer(p, p)) @ head
    gradients = _at_the_head(hidden.expand(20000, 4), head, Gram(4, head.device), random)
    assert torch.allclose(gradients.T @ gradients / len(gradients), fisher, atol=0.05 * float(fisher.abs().max()))


def test_curvature_in_either_precision_is_much_the_same(tiny_checkpoint: Checkpoint) -> None:
    """A coarser precision draws another token here and there, which is a draw as good as the first."""
    reference = Reference.from_checkpoint(tiny_checkpoint)
    tokens = torch.randint(3, 300, (8, 128), generator=torch.Generator().manual_seed(2))
    single, half = (measure(reference, Calibration(tokens, to)) for to in (torch.float32, torch.bfloat16))
    assert set(single) == {name for name, shape in tiny_checkpoint.architecture.shapes().items() if len(shape) == 2}
    for name, moment in single.items():
        assert float((half[name] - moment).norm() / moment.norm()) < 0.5, name
