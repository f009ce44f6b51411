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
CONTEXT_METHODS = ("get_max_context_len", "get_max_seq_len")  # export_llm's and ours; optimum-executorch has the second
HEADER = 32  # bytes in which a .pte says how long its program is, before the segments

_ROOT = Path(runtime.__file__).parents[2]
KERNELS = {
    b"quantized_decomposed::": _ROOT / "lib" / "libexecutorch_kernels_quantized.so",
    b"llama::": _ROOT / "extension" / "llm" / "custom_ops" / "libcustom_ops_aot_lib.so",
}
"""libraries that register their kernels when they are loaded, by how the names of the operators begin"""


class Backend:
    """One program with its cache.

    Ours and export_llm's answer with the logits of a call's last token only, so that a window is decoded token by
    token; optimum-executorch's take every token's position and give every token's logits.
    """

    def __init__(self, artefact: str, context: int, threads: int, model: str = MODEL_FILE) -> None:
        self.versions = {name: version(name) for name in ("executorch", "torch", "pytorch-tokenizers")}
        runtime._unsafe_reset_threadpool(threads)  # noqa: SLF001  (all of the binding has such names)
        folder = Path(artefact)
        self._tokenizer = CppHFTokenizer()
        self._tokenizer.load(str(folder / TOKENIZER_FILE))
        _load_kernels(folder / model)
        self._module = runtime._load_for_executorch(str(folder / model))  # noqa: SLF001
        capacity = self._capacity()
        if context > capacity:
            raise ValueError(f"{model} was built for a context of {capacity} tokens, and {context} were asked for")
        forward = self._module.method_meta("forward")
        logits = forward.output_tensor_meta(0).sizes()
        self._chunk = int(forward.input_tensor_meta(0).sizes()[1])
        self._every_position = int(forward.input_tensor_meta(1).sizes()[0]) > 1
        self._every_row, self._vocabulary = len(logits) == 3 and logits[1] > 1, int(logits[-1])
        self._past = 0
        self._process([0])  # the delegates pack their weights when the method is loaded, at its first call

    def prefill(self, tokens: list[int]) -> NDArray[np.float32]:
        """Forget everything, process the tokens; float32 [vocab]: logits of the last one."""
        self._past = 0
        last: NDArray[np.float32] = self._process(tokens)[-1]
        return last

    def decode(self, token: int) -> NDArray[np.float32]:
        """Process one more token; float32 [vocab]."""
        last: NDArray[np.float32] = self._process([token])[-1]
        return last

    def window(self, tokens: list[int]) -> Iterator[NDArray[np.float32]]:
        """Process from position 0; float32 [n, vocab] chunks, one row a position."""
        self._past = 0
        for start in range(0, len(tokens), WINDOW):
            chunk = tokens[start : start + WINDOW]
            if self._every_row:
                yield self._process(chunk)
                continue
            rows = np.empty((len(chunk), self._vocabulary), np.float32)
            for row, token in zip(rows, chunk, strict=True):
                row[:] = self._process([token])[-1]
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

    def _capacity(self) -> int:
        """Tokens that the cache holds, by the first method that says it."""
        told = next(name for name in CONTEXT_METHODS if name in self._module.method_names())
        return int(self._module.run_method(told, ())[0])

    def _process(self, tokens: list[int]) -> NDArray[np.float32]:
        """The tokens after those already in the cache, as many at once as the program takes; logits of the last call.

        float32 [n, vocab], n being 1 or the tokens of that call.
        """
        if not tokens:
            raise ValueError("ExecuTorch needs at least one token")
        for start in range(0, len(tokens), self._chunk):
            chunk = tokens[start : start + self._chunk]
            positions = range(self._past, self._past + (len(chunk) if self._every_position else 1))
            inputs = torch.tensor([chunk], dtype=torch.int64), torch.tensor(list(positions), dtype=torch.int64)
            # uncloned: torch would clone on threads of its own, which then spin where those of the next call should run
            logits = self._module.forward(inputs, clone_outputs=False)[0]
            self._past += len(chunk)
        rows: NDArray[np.float32] = logits.float().numpy().reshape(-1, self._vocabulary)
        return rows.copy()


def _load_kernels(program: Path) -> None:
    """Load the libraries of the kernels that a program names, and no other."""
    with program.open("rb") as file:
        header = file.read(HEADER)
        size = int.from_bytes(header[16:24], "little") if header[8:12] == b"eh00" else -1
        named = header + file.read(max(size - HEADER, 0) if size >= 0 else -1)
    for beginning, library in KERNELS.items():
        if beginning in named:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
