"""`Trials`: how far models with a few changed weights are from the one they were changed from."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from smolship.checkpoint import EMBEDDING, FINAL_NORM
from smolship.reference import Reference, rotary

_LAYERS = "model.layers."


class Trials:
    """The mean KL divergence from a reference over the same tokens, in nats.

    What the reference says is computed once, and of a changed model nothing below the first changed layer is computed
    again. Holds 4 bytes for each token and each word of the vocabulary: 0.4 GB for 2,048 tokens of SmolLM2.
    """

    def __init__(self, reference: Reference, windows: Tensor) -> None:
        """`windows` int64 [n, length], each a text of its own."""
        self.reference, self.windows = reference, windows
        self._rotary = rotary(reference.architecture, windows.shape[1], windows.device)
        with torch.no_grad():
            entering = [functional.embedding(windows, reference.weights[EMBEDDING])]
            for layer in range(reference.architecture.layers):
                entering.append(reference.block(layer, entering[-1], *self._rotary))
            self._entering = entering  # [n, length, hidden] before each layer and after the last
            self._said = [_log_probabilities(reference, x) for x in entering[-1]]  # [length, vocabulary] each

    def divergence(self, changed: Mapping[str, Tensor]) -> float:
        """Of the reference with these weights in place of its own; float32 leaves about a millionth of a nat unsure."""
        model = Reference(self.reference.architecture, {**self.reference.weights, **changed})
        layers = self.reference.architecture.layers
        first = min((_first_layer(name, layers) for name in changed), default=layers)
        with torch.no_grad():
            x = (
                functional.embedding(self.windows, changed[EMBEDDING])
                if EMBEDDING in changed
                else self._entering[first]
            )
            for layer in range(first, layers):
                x = model.block(layer, x, *self._rotary)
            total = sum(
                float(functional.kl_div(_log_probabilities(model, after), said, reduction="sum", log_target=True))
                for after, said in zip(x, self._said, strict=True)
            )
        return max(total, 0.0) / self.windows.numel()


def _first_layer(name: str, layers: int) -> int:
    """The first layer that a weight changes, the number of layers if it is none of theirs."""
    if name == EMBEDDING:
        return 0
    return int(name.removeprefix(_LAYERS).partition(".")[0]) if name.startswith(_LAYERS) else layers


def _log_probabilities(model: Reference, x: Tensor) -> Tensor:
    """Of the next token, from what leaves the last layer: [length, hidden] to [length, vocabulary]."""
    normed = functional.rms_norm(x, (x.shape[-1],), model.weights[FINAL_NORM], model.architecture.norm_epsilon)
    return functional.log_softmax(model.head(normed), dim=-1)
