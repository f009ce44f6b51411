"""What a GGUF's metadata mean is what llama.cpp computes: the reference computes the same, or the file is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError
from smolship.reference import Reference
from smolship.runtime_checks.probe.backend_gguf import Backend

TEXT = "The  12 harbours\n\n1999 <|im_end|> we'LL x2 ½"
NEAR = 0.1
"""of a logit: llama.cpp keeps keys and values in float16"""
METADATA: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no kind of scaling": {"llama__rope__scaling__type": "none"},
    "positions divided": {"llama__rope__scaling__factor": 4.0},
    "positions divided, the older key": {"llama__rope__scale_linear": 4.0},
    "positions divided by 1": {"llama__rope__scaling__type": "linear", "llama__rope__scaling__factor": 1.0},
    "rotation scaled": {"llama__rope__scaling__attn_factor": 2.0},
    "a context before scaling": {"llama__rope__scaling__original_context_length": 128},
    "half of each head rotated": {"llama__rope__dimension_count": 8},
    "no rotary base": {"llama__rope__freq_base": None},
    "widths of heads": {"llama__attention__key_length": 16, "llama__attention__value_length": 16},
    "attention to what follows": {"llama__attention__causal": False},
    "a scale of logits": {"llama__logit_scale": 4.0},
    "a scale of embeddings": {"llama__embedding_scale": 3.0},
    "a window": {"llama__attention__sliding_window": 4},
    "GPT-2's splitting": {"tokenizer__ggml__pre": "gpt-2"},
    "a space before the text": {"tokenizer__ggml__add_space_prefix": True},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_mean_what_llama_cpp_makes_of_them(metadata: dict[str, Any], tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", **metadata)
    try:
        checkpoint = open_checkpoint(str(path))
    except InputError:
        return
    backend = Backend(str(tmp_path), 64, 1)
    tokens = checkpoint.tokenizer.encode(TEXT)
    assert backend.tokenize(TEXT) == tokens
    wanted = np.concatenate(list(backend.window(tokens)))
    found = Reference.from_checkpoint(checkpoint).logits(tokens).numpy()
    assert np.abs(found - wanted).max() < NEAR


def test_what_llama_cpp_reads_as_plain_is_not_refused(tmp_path: Path) -> None:
    open_checkpoint(str(write_tiny_gguf(tmp_path / "model.gguf", llama__rope__scaling__type="none")))
