"""ONNX on plain ONNX Runtime: this project's graphs, Optimum's, and those of ONNX Runtime GenAI's model builder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import tokenizers
from numpy.typing import NDArray

from .onnx_cache import Cache, Growing, Shared, Values, dtype_of, value

MODEL_FILE = "model.onnx"
OURS = "smolship."  # what keys of our files' metadata begin with
LOGITS_FROM = "logits_from"  # the initialiser of our files that says which position is the first to get logits
WINDOW = 64  # positions whose logits are asked for at once: 12 MB of them
ERROR = 3  # onnxruntime's severity; its warning is that a session of every logit gives more than one position's


class Backend:
    """One session over the model file, as it ships.

    `window` needs every position's logits. Our files give the last one's: their session is then replaced by one over
    the same file whose slice before the head starts at the first position, and `prefill` brings the shipped one back,
    so that no two are held at once. Other files that give the last one's alone are decoded token by token.
    """

    def __init__(self, artefact: str, context: int, threads: int, model: str = MODEL_FILE) -> None:
        self.versions = {"onnxruntime": ort.__version__, "tokenizers": tokenizers.__version__}
        folder = Path(artefact)
        self._path = str(folder / model)
        self._context, self._threads = context, threads
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._head_dim, self._shared, self._prompt_chunk = _cache_of(folder)
        self._first = value(np.zeros(1, np.int64))  # must live as long as the session that reads it
        self._session: Any = None
        self._cache: Cache
        self._ours = self._every = False
        self._chunk: int | None = None
        self._load(every=False)

    def prefill(self, tokens: list[int]) -> NDArray[np.float32]:
        """Forget everything, process the tokens from position 0; float32 [vocab]: logits of the last one.

        In chunks, where the folder's configuration has ONNX Runtime GenAI take them so.
        """
        self._load(every=False)
        chunk = self._prompt_chunk or len(tokens)
        rows = [self._run(tokens[start : start + chunk]) for start in range(0, len(tokens), chunk)]
        last: NDArray[np.float32] = rows[-1][-1]
        return last

    def decode(self, token: int) -> NDArray[np.float32]:
        """Process one more token; float32 [vocab]."""
        last: NDArray[np.float32] = self._run([token])[-1]
        return last

    def window(self, tokens: list[int]) -> Iterator[NDArray[np.float32]]:
        """Process from position 0; float32 [n, vocab] chunks, one row a position."""
        self._load(every=True)
        if self._chunk is None:  # one look at what the graph gives for two tokens
            self._chunk = WINDOW if len(self._run([0, 0])) == 2 else 1
            self._load(every=True)
        for start in range(0, len(tokens), self._chunk):
            yield self._run(tokens[start : start + self._chunk])

    def tokenize(self, text: str) -> list[int]:
        """The ids by tokenizer.json: special tokens parsed, none added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def detokenize(self, tokens: list[int]) -> bytes:
        """The bytes of the tokens, special ones spelled out."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text.encode("utf-8")

    def _load(self, every: bool) -> None:
        """An empty cache on a session that gives every position's logits, or the last one's, where that is a choice."""
        if self._session is None or (self._ours and every != self._every):
            self._session = None  # free the old one first
            self._session = _session(self._path, self._threads, self._first if every else None)
            self._every = every
            self._ours = any(key.startswith(OURS) for key in self._session.get_modelmeta().custom_metadata_map)
            self._types = {each.name: dtype_of(each) for each in self._session.get_inputs()}
            if self._shared:
                self._cache = Shared(self._session, self._head_dim, self._context)
            else:
                self._cache = Growing(self._session, self._head_dim)
        self._position = 0
        self._cache.forget()

    def _run(self, tokens: list[int]) -> NDArray[np.float32]:
        """float32 [n, vocab]: the last token's logits or every one's; the cache grows by the tokens."""
        end = self._position + len(tokens)
        if end > self._context:
            raise RuntimeError(f"{end} tokens are more than the context of {self._context}")
        given = {
            "input_ids": [tokens],
            "attention_mask": [[1] * end],
            "position_ids": [list(range(self._position, end))],
        }
        feeds: Values = {
            name: value(np.array(each, self._types[name])) for name, each in given.items() if name in self._types
        }
        logits = self._cache.run(self._session, feeds)
        self._position = end
        rows: NDArray[np.float32] = logits.reshape(-1, logits.shape[-1]).astype(np.float32, copy=False)
        return rows


def _cache_of(folder: Path) -> tuple[int, bool, int]:
    """By the folder's configuration: the head dimension, whether the graph writes into the cache it is given, and how
    many tokens of a prompt are taken at once, 0 for all.
    """
    genai = folder / "genai_config.json"
    if genai.exists():
        config = json.loads(genai.read_text(encoding="utf-8"))
        search = config.get("search", {})
        shared, chunk = bool(search.get("past_present_share_buffer")), int(search.get("chunk_size") or 0)
        return config["model"]["decoder"]["head_size"], shared, chunk
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"], False, 0


def _session(path: str, threads: int, logits_from: ort.OrtValue | None) -> ort.InferenceSession:
    """ONNX Runtime's defaults but for the threads: measured, its arena halves the peak of a long prefill."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = ERROR
    if logits_from is not None:
        options.add_initializer(LOGITS_FROM, logits_from)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
