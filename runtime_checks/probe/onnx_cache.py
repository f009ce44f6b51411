"""The KV cache of an ONNX decoder, kept in the runtime's own values from one run to the next."""

from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

PAST, PRESENT = "past_key_values.", "present."
LOGITS = "logits"
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
"""onnxruntime's names of what a decoder takes"""

Values = dict[str, ort.OrtValue]


class Cache(Protocol):
    """What one sequence has gone through so far."""

    def forget(self) -> None:
        """Begin again."""
        ...

    def run(self, session: Any, feeds: Values) -> NDArray[Any]:
        """Run the session on new tokens, remember them; the logits as the graph gives them."""
        ...


class Growing:
    """What a run returns is what the next is given: longer by its tokens each time, copied by the graph."""

    def __init__(self, session: Any, head_dim: int) -> None:
        self._empty = {name: value(np.zeros(shape, kind)) for name, shape, kind in _entries(session, 0, head_dim)}
        self._outputs = [LOGITS, *(_present(name) for name in self._empty)]
        self.forget()

    def forget(self) -> None:
        """See `Cache.forget`."""
        self._past = self._empty

    def run(self, session: Any, feeds: Values) -> NDArray[Any]:
        """See `Cache.run`."""
        logits, *present = session.run_with_ort_values(self._outputs, {**feeds, **self._past})
        self._past = dict(zip(self._empty, present, strict=True))
        found: NDArray[Any] = logits.numpy()
        return found


class Shared:
    """One buffer for each, as long as the context, that the graph writes into: how ONNX Runtime GenAI runs its own."""

    def __init__(self, session: Any, head_dim: int, context: int) -> None:
        self._binding = session.io_binding()
        self._binding.bind_output(LOGITS)
        self._buffers = list[ort.OrtValue]()  # alive as long as the binding
        for name, shape, kind in _entries(session, context, head_dim):
            # Not of a numpy array, which would be copied: pages that no token has reached yet take no memory.
            buffer = ort.OrtValue.ortvalue_from_shape_and_type(shape, kind)
            self._buffers.append(buffer)
            self._binding.bind_ortvalue_input(name, buffer)
            self._binding.bind_ortvalue_output(_present(name), buffer)

    def forget(self) -> None:
        """See `Cache.forget`: the length of the attention mask says how much of a buffer counts."""

    def run(self, session: Any, feeds: Values) -> NDArray[Any]:
        """See `Cache.run`."""
        for name, each in feeds.items():
            self._binding.bind_ortvalue_input(name, each)
        self._binding.bind_output(LOGITS)  # of another shape than the last
        session.run_with_iobinding(self._binding)
        found: NDArray[Any] = self._binding.get_outputs()[0].numpy()
        return found


def value(array: NDArray[Any]) -> ort.OrtValue:
    """An array as the runtime's own value."""
    return ort.OrtValue.ortvalue_from_numpy(array)


def dtype_of(taken: Any) -> Any:
    """The dtype of an input; `ValueError` for one that the probe has nothing to give for."""
    if taken.type not in TYPES:
        raise ValueError(f"the graph takes {taken.name} as {taken.type}, and the probe has {', '.join(TYPES)}")
    return TYPES[taken.type]


def _entries(session: Any, length: int, head_dim: int) -> list[tuple[str, tuple[int, ...], Any]]:
    """Name, shape [1, KV heads, length, head dimension] and dtype of every input of the cache."""
    inputs = [each for each in session.get_inputs() if each.name.startswith(PAST)]
    return [(each.name, (1, int(each.shape[1]), length, head_dim), dtype_of(each)) for each in inputs]


def _present(past: str) -> str:
    return past.replace(PAST, PRESENT)
