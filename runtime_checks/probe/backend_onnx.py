"""ONNX on plain ONNX Runtime: the graph's KV cache stays in the runtime's own values from one run to the next."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import tokenizers
from numpy.typing import NDArray

MODEL_FILE = "model.onnx"
LOGITS_FROM = "logits_from"  # the initialiser that says which position is the first to get logits
WINDOW = 64  # positions whose logits are asked for at once: 12 MB of them
ERROR = 3  # onnxruntime's severity; its warning is that a session of every logit gives more than one position's

Values = dict[str, ort.OrtValue]


class Backend:
    """One session over the artefact; the model file gives the last position's logits, as it ships.

    `window` needs every position's: the session is then replaced by one over the same file whose slice before the head
    starts at the first position, and `prefill` brings the shipped one back, so that no two are held at once.
    """

    def __init__(self, artefact: str, context: int, threads: int) -> None:
        self.versions = {"onnxruntime": ort.__version__, "tokenizers": tokenizers.__version__}
        folder = Path(artefact)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._path = str(folder / MODEL_FILE)
        self._context, self._threads = context, threads
        self._vocabulary: int = config["vocab_size"]
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        shape = (1, config["num_key_value_heads"], 0, config["head_dim"])
        self._empty = _value(np.zeros(shape, np.float32))
        self._first = _value(np.zeros(1, np.int64))  # must live as long as the session that reads it
        self._session: Any = None
        self._every = False
        self._load(every=False)

    def prefill(self, tokens: list[int]) -> NDArray[np.float32]:
        """Forget everything, process the tokens from position 0; float32 [vocab]: logits of the last one."""
        self._load(every=False)
        last: NDArray[np.float32] = self._run(tokens)[-1]
        return last

    def decode(self, token: int) -> NDArray[np.float32]:
        """Process one more token; float32 [vocab]."""
        last: NDArray[np.float32] = self._run([token])[-1]
        return last

    def window(self, tokens: list[int]) -> Iterator[NDArray[np.float32]]:
        """Process from position 0; float32 [n, vocab] chunks, one row a position."""
        self._load(every=True)
        for start in range(0, len(tokens), WINDOW):
            yield self._run(tokens[start : start + WINDOW])

    def tokenize(self, text: str) -> list[int]:
        """The ids by tokenizer.json: special tokens parsed, none added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def detokenize(self, tokens: list[int]) -> bytes:
        """The bytes of the tokens, special ones spelled out."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text.encode("utf-8")

    def _load(self, every: bool) -> None:
        """An empty cache on a session that gives every position's logits, or the last one's; load only what is not."""
        if self._session is None or every != self._every:
            self._session = None  # free the old one first
            self._session = _session(self._path, self._threads, self._first if every else None)
            self._every = every
            names = [value.name for value in self._session.get_inputs()]
            self._past_names = [name for name in names if name.startswith("past_key_values.")]
            present = [name.replace("past_key_values", "present") for name in self._past_names]
            self._outputs = ["logits", *present]
        self._position = 0
        self._past: Values = dict.fromkeys(self._past_names, self._empty)

    def _run(self, tokens: list[int]) -> NDArray[np.float32]:
        """float32 [n, vocab]: the last token's logits or every one's; the cache grows by the tokens."""
        end = self._position + len(tokens)
        if end > self._context:
            raise RuntimeError(f"{end} tokens are more than the context of {self._context}")
        feeds = {
            "input_ids": _value(np.array([tokens], np.int64)),
            "attention_mask": _value(np.ones((1, end), np.int64)),
            "position_ids": _value(np.arange(self._position, end, dtype=np.int64)[None]),
            **self._past,
        }
        logits, *present = self._session.run_with_ort_values(self._outputs, feeds)
        self._past = dict(zip(self._past_names, present, strict=True))
        self._position = end
        rows: NDArray[np.float32] = logits.numpy().reshape(-1, self._vocabulary)
        return rows


def _value(array: NDArray[np.generic]) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(array)


def _session(path: str, threads: int, logits_from: ort.OrtValue | None) -> ort.InferenceSession:
    """ONNX Runtime's defaults but for the threads: measured, its arena halves the peak of a long prefill."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = ERROR
    if logits_from is not None:
        options.add_initializer(LOGITS_FROM, logits_from)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
