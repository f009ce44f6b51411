"""`Gram`: a sum of outer products, of which half is computed."""

import torch
from torch import Tensor

_BLOCKS = 4
"""parts of a side: of their 16 products with each other 10 are different"""


class Gram:
    """Σ_t w_t · x_t x_tᵀ, float32 [size, size]."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._sum = torch.zeros(size, size, device=device)
        self._starts = [size * block // _BLOCKS for block in range(_BLOCKS + 1)]

    def add(self, x: Tensor, weights: Tensor) -> None:
        """`x` float32 [tokens, size], `weights` ≥ 0 [tokens]."""
        weighted = x * weights.sqrt()[:, None]
        for start, stop in zip(self._starts, self._starts[1:], strict=False):
            self._sum[start:stop, start:].addmm_(weighted[:, start:stop].T, weighted[:, start:])

    def total(self) -> Tensor:
        """The whole sum so far."""
        upper = self._sum.triu_()
        return upper + upper.triu(1).T
