"""`PlannedFile`: a file that could be built; every figure of it is predicted."""

from dataclasses import dataclass

from smolship.checkpoint import Architecture
from smolship.export.sizes import Sizes
from smolship.quantize import Recipe
from smolship.runtime_checks.footprint import Stored, cache_bytes


@dataclass(frozen=True)
class PlannedFile:
    """What a recipe gives in a format."""

    recipe: Recipe
    format: str
    architecture: Architecture
    context: int
    sizes: Sizes

    @property
    def name(self) -> str:
        """How it is called in tables."""
        return f"{self.recipe.name} {self.format}"

    @property
    def bits_per_weight(self) -> float:
        """On average over all tensors, as its manifest will say."""
        return 8 * self.sizes.tensors / self.architecture.parameters

    @property
    def stored(self) -> Stored:
        """What a runtime's process has to hold of it."""
        return Stored(self.sizes.model, self.sizes.matrices, self.sizes.embedding)

    @property
    def cache(self) -> int:
        """Bytes of the KV cache with the context full."""
        return cache_bytes(self.architecture, self.format, self.context)

    def read_per_token(self, filled: int) -> int:
        """Bytes that decoding one token reads at the least, with so many tokens in the cache."""
        return self.sizes.weights + cache_bytes(self.architecture, self.format, filled)


@dataclass(frozen=True)
class Refused:
    """A recipe that a format cannot hold, and why."""

    recipe: str
    format: str
    reason: str
