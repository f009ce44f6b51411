"""GGUF on llama.cpp, through llama-cpp-python's ctypes binding: llama.h, nothing of its Python `Llama`."""

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

MODEL_FILE = "model.gguf"
BATCH = 512  # tokens of one llama_decode, llama.cpp's own default for a physical batch
WINDOW = 128  # positions whose logits are asked for at once: 25 MB of them
WARNING, ERROR = 3, 4  # ggml_log_level

_complaints: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # a ctypes function type
def _log(level: int, text: bytes, _user_data: object) -> None:
    """llama.cpp's log: errors are kept for the exception's message, warnings go to stderr, the rest nowhere."""
    if level in (WARNING, ERROR):
        os.write(2, text)
    if level == ERROR:
        _complaints.append(text.decode("utf-8", "replace").strip())


class Backend:
    """One model and one context of llama.cpp, memory-mapped and with its default fp16 KV cache."""

    def __init__(self, artefact: str, context: int, threads: int, model: str = MODEL_FILE) -> None:
        llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.versions = {"llama-cpp-python": llama_cpp.__version__, "llama.cpp": _version(), **_load_backends()}
        path = Path(artefact) / model
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), options)
        if not self._model:
            raise RuntimeError(f"llama.cpp refused {model}: {'; '.join(_complaints[:3]) or 'no reason given'}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = context, BATCH, BATCH
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError(f"llama.cpp made no context of {context} tokens: {'; '.join(_complaints[:3])}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._past = 0
        template = llama_cpp.llama_model_chat_template(self._model, None)
        self.chat_template: str | None = template.decode("utf-8") if template else None

    def prefill(self, tokens: list[int]) -> NDArray[np.float32]:
        """Forget everything, process the tokens; float32 [vocab]: logits of the last one."""
        self._forget()
        for start in range(0, len(tokens), BATCH):
            chunk = tokens[start : start + BATCH]
            self._process(chunk, all_logits=False, last_logits=start + BATCH >= len(tokens))
        return self._row(-1)

    def decode(self, token: int) -> NDArray[np.float32]:
        """Process one more token; float32 [vocab]."""
        self._process([token], all_logits=False)
        return self._row(-1)

    def window(self, tokens: list[int]) -> Iterator[NDArray[np.float32]]:
        """Process from position 0; float32 [n, vocab] chunks, one row a position."""
        self._forget()
        for start in range(0, len(tokens), WINDOW):
            chunk = tokens[start : start + WINDOW]
            self._process(chunk, all_logits=True)
            logits = llama_cpp.llama_get_logits(self._context)  # rows in the order in which they were asked for
            yield np.ctypeslib.as_array(logits, (len(chunk), self._vocabulary)).copy()

    def tokenize(self, text: str) -> list[int]:
        """llama.cpp's tokenizer on the file's own vocabulary: special tokens parsed, none added."""
        raw = text.encode("utf-8")
        room = len(raw) + 8
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, True)
        if count < 0:
            raise RuntimeError(f"llama.cpp wanted room for {-count} tokens of {len(raw)} bytes")
        return list(ids[:count])

    def detokenize(self, tokens: list[int]) -> bytes:
        """The bytes of the tokens, special ones spelled out."""
        pieces = []
        room = 1024
        buffer = ctypes.create_string_buffer(room)
        for token in tokens:
            size = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, True)
            if size < 0:
                raise RuntimeError(f"token {token} is longer than {room} bytes")
            pieces.append(buffer.raw[:size])
        return b"".join(pieces)

    def _forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        self._past = 0

    def _process(self, tokens: list[int], all_logits: bool, last_logits: bool = True) -> None:
        """One llama_decode of at most BATCH tokens after those already in the cache."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, self._past + i
            batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, all_logits
        batch.logits[len(tokens) - 1] = all_logits or last_logits
        code = llama_cpp.llama_decode(self._context, batch)
        if code != 0:
            reason = "the context is full" if code == 1 else "; ".join(_complaints[-3:]) or "no reason given"
            raise RuntimeError(f"llama_decode returned {code} at position {self._past}: {reason}")
        self._past += len(tokens)

    def _row(self, index: int) -> NDArray[np.float32]:
        logits = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(logits, (self._vocabulary,)).copy()


def _version() -> str:
    version = llama_cpp.llama_version()
    return version.decode("ascii", "replace") if version else "unknown"


def _load_backends() -> dict[str, str]:
    """Have llama.cpp choose among its CPU backends, where a kit brings one for each kind of processor.

    `{"ggml backend": "CPU (armv8.2_2)"}`, or nothing where llama.cpp has but one; `RuntimeError` if none runs here.
    """
    folder = os.environ.get("LLAMA_CPP_LIB_PATH")  # where the binding has looked too
    if folder is None:
        return {}
    ggml = ctypes.CDLL(f"{folder}/libggml.so")
    if ggml.ggml_backend_reg_count():
        return {}
    ggml.ggml_backend_load_all_from_path(os.fsencode(folder))
    if not ggml.ggml_backend_reg_count():
        raise RuntimeError(f"none of llama.cpp's backends in {folder} runs on this processor")
    # It tries each and keeps the best: the one that is still mapped.
    chosen = re.findall(r"/libggml-cpu-(.+)\.so$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    return {"ggml backend": f"CPU ({chosen[0]})"} if chosen else {}
