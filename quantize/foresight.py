"""What calibration will take on this machine, said before it starts: counted products over measured speed.

The factors beside the counts are what benchmarks/calibration_stages.py measured over what the products alone take; what
is beside the products is no faster where those are in bfloat16.
"""

from dataclasses import dataclass

from smolship.checkpoint import EMBEDDING, HEAD, Architecture
from smolship.quantize.calibrating import Calibrating
from smolship.quantize.calibration.curvature import TOKENS_AT_ONCE
from smolship.quantize.calibration.sampling import BATCH
from smolship.quantize.calibration.texts import LENGTH
from smolship.quantize.distillation.training import TUNING
from smolship.quantize.precision import float_speed, speed

_SAMPLING = 2.7
"""one token of each sequence at a time: attention waits for the memory of the KV cache"""
_CURVATURE = 1.6
_TRAINING = 1.5
_ROUNDING = 1.8e5
"""operations a weight that the search for scales and the descent come to"""
_LIBRARIES = 400_000_000
"""bytes of torch and what it takes along"""
_ACTIVATIONS = 28
"""float32 numbers that a token keeps for the backward pass, by layer and hidden channel"""


@dataclass(frozen=True)
class Foreseen:
    """An estimate."""

    seconds: float
    memory: int
    """bytes, the most that is resident at once"""

    def __str__(self) -> str:
        """`about 9 min and 2.8 GB`."""
        return f"about {max(1, round(self.seconds / 60))} min and {self.memory / 1e9:.1f} GB"


def foresee(architecture: Architecture, calibrating: Calibrating, *, distils: bool) -> Foreseen:
    """What calibration takes here if nothing of it is in the cache yet; measures this processor's speed."""
    layers, head, moments = _sizes(architecture)
    tokens = calibrating.sequences * min(LENGTH, architecture.max_positions)
    flows = 4.0 * tokens * (layers + head)
    products, beside = flows, (_CURVATURE - 1) * flows + _CURVATURE * tokens * moments + _ROUNDING * layers
    if calibrating.text is None:
        products, beside = products + flows / 2, beside + (_SAMPLING - 1) * flows / 2
    if distils:
        steps = 8 * TUNING.steps * TUNING.tokens * (layers + head)
        products, beside = products + steps, beside + (_TRAINING - 1) * steps
    return Foreseen(products / speed() + beside / float_speed(), _memory(architecture, moments))


def _memory(architecture: Architecture, moments: int) -> int:
    a = architecture
    weights = 4 * a.parameters
    cache = 4 * a.layers * 2 * BATCH * a.kv_heads * a.head_dim * min(LENGTH, a.max_positions)
    activations = 4 * TOKENS_AT_ONCE * a.layers * a.hidden * _ACTIVATIONS
    return _LIBRARIES + weights + max(cache, weights + 4 * moments + activations)


def _sizes(architecture: Architecture) -> tuple[int, int, int]:
    """Weights of the layers' matrices, weights of the head, numbers of all second moments."""
    matrices = {name: shape for name, shape in architecture.shapes().items() if len(shape) == 2}
    layers = sum(shape[0] * shape[1] for name, shape in matrices.items() if name not in (EMBEDDING, HEAD))
    head = architecture.vocabulary * architecture.hidden
    return layers, head, sum(shape[1] ** 2 for shape in matrices.values())
