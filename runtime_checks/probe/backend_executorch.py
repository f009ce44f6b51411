"""ExecuTorch through its pybindings, and its own C++ tokenizer: the classes that ExecuTorch's LLM runner is made of.

The pybindings take and give torch tensors, so torch is imported, and nothing else of it is used. `portable_lib` would
import ExecuTorch's exporter as well (140 MB), so the extension module that it wraps is imported instead.
"""

import ctypes
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from executorch.extension.pybindings import _C as runtime  # noqa: N811  (that is its name)
from numpy.typing import NDArray
from pytorch_tokenizers import CppHFTokenizer

MODEL_FILE = "model.pte"
TOKENIZER_FILE = "tokenizer.json"
WINDOW = 32  # positions whose logits are handed on at once: 6 MB of them

_QUANTISED_KERNELS = Path(runtime.__file__).parents[2] / "lib" / "libexecutorch_kernels_quantized.so"

# the quantised embedding's kernels are in a library of their own, which registers them when it is loaded
ctypes.CDLL(str(_QUANTISED_KERNELS), mode=ctypes.RTLD_GLOBAL)


class Backend:
    """One program with its cache; a call answers with the logits of its last token only, so a window is decoded."""

    def __init__(self, artefact: str, context: int, threads: int) -> None:
        self.versions = {name: version(name) for name in ("executorch", "torch", "pytorch-tokenizers")}
        runtime._unsafe_reset_threadpool(threads)  # noqa: SLF001  (all of the binding has such names)
        folder = Path(artefact)
        self._tokenizer = CppHFTokenizer()
        self._tokenizer.load(str(folder / TOKENIZER_FILE))
        self._module = runtime._load_for_executorch(str(folder / MODEL_FILE))  # noqa: SLF001
        capacity = self._constant("get_max_context_len")
        if context > capacity:
            raise ValueError(f"{MODEL_FILE} was built for a context of {capacity} tokens, and {context} were asked for")
        self._chunk = self._constant("get_max_seq_len")
        self._vocabulary = self._constant("get_vocab_size")
        self._past = 0
        self._process([0])  # the delegates pack their weights when the method is loaded, at its first call

    def prefill(self, tokens: list[int]) -> NDArray[np.float32]:
        """Forget everything, process the tokens; float32 [vocab]: logits of the last one."""
        self._past = 0
        return self._process(tokens)

    def decode(self, token: int) -> NDArray[np.float32]:
        """Process one more token; float32 [vocab]."""
        return self._process([token])

    def window(self, tokens: list[int]) -> Iterator[NDArray[np.float32]]:
        """Decode from position 0; float32 [n, vocab] chunks, one row a position."""
        self._past = 0
        for start in range(0, len(tokens), WINDOW):
            chunk = tokens[start : start + WINDOW]
            rows = np.empty((len(chunk), self._vocabulary), np.float32)
            for row, token in zip(rows, chunk, strict=True):
                row[:] = self._process([token])
            yield rows

    def tokenize(self, text: str) -> list[int]:
        """The C++ tokenizer of ExecuTorch's runner on tokenizer.json: special tokens parsed, none added."""
        return list(self._tokenizer.encode(text, 0, 0))

    def detokenize(self, tokens: list[int]) -> bytes:
        """The bytes of the tokens, special ones spelled out; they may end inside of a character."""
        try:
            text: str = self._tokenizer.decode_batch(tokens)
        except UnicodeDecodeError as error:  # the binding makes a str of bytes that are none: the error has them
            return bytes(error.object)
        return text.encode("utf-8")

    def _constant(self, method: str) -> int:
        return int(self._module.run_method(method, ())[0])

    def _process(self, tokens: list[int]) -> NDArray[np.float32]:
        """The tokens after those already in the cache, as many at once as the program takes."""
        if not tokens:
            raise ValueError("ExecuTorch needs at least one token")
        for start in range(0, len(tokens), self._chunk):
            chunk = tokens[start : start + self._chunk]
            inputs = torch.tensor([chunk], dtype=torch.int64), torch.tensor([self._past], dtype=torch.int64)
            logits = self._module.forward(inputs)[0]
            self._past += len(chunk)
        row: NDArray[np.float32] = logits[0].numpy()
        return row
