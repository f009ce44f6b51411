"""GGUF on llama.cpp with a cache that is cut back to what several sequences share."""

from collections.abc import Iterator

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from smolship.runtime_checks.probe.backend_gguf import BATCH, WINDOW, Backend


class Rewinding(Backend):
    """The probe's backend, and `Runner.after` on it."""

    def after(self, shared: list[int], rests: list[list[int]]) -> Iterator[NDArray[np.float32]]:
        """See `Runner.after`: `shared` is processed once."""
        self._forget()
        for start in range(0, len(shared), BATCH):
            self._process(shared[start : start + BATCH], all_logits=False, last_logits=False)
        for rest in rests:
            self._rewind(len(shared))
            parts = []
            for start in range(0, len(rest), WINDOW):
                chunk = rest[start : start + WINDOW]
                self._process(chunk, all_logits=True)
                logits = llama_cpp.llama_get_logits(self._context)
                parts.append(np.ctypeslib.as_array(logits, (len(chunk), self._vocabulary)).copy())
            yield np.concatenate(parts)

    def _rewind(self, position: int) -> None:
        """Forget every position from `position` on."""
        memory = llama_cpp.llama_get_memory(self._context)
        if not llama_cpp.llama_memory_seq_rm(memory, 0, position, -1):
            raise RuntimeError(f"llama.cpp cannot cut its cache back to position {position}")
        self._past = position
