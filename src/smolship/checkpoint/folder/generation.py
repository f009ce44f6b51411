"""What a generation config asks of `generate` beyond where to end: nothing that a model file can carry."""

from collections.abc import Mapping
from typing import Any

_PLAIN: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (None, 1, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "suppress_tokens": (None, []),
    "begin_suppress_tokens": (None, []),
    "bad_words_ids": (None, []),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "min_new_tokens": (None, 0),
    "min_length": (None, 0),
    "exponential_decay_length_penalty": (None,),
    "sequence_bias": (None,),
    "stop_strings": (None, []),
}
"""Entries that change which token is the most likely one, or where an answer ends, and values that do not."""


def decoding_notes(generation: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence that names what transformers' `generate` does of its own and an app has to ask its runtime for."""
    found = [f"{entry} {generation[entry]!r}" for entry, plain in _PLAIN.items() if generation.get(entry) not in plain]
    note = (
        f"generation_config.json has {', '.join(found)}, which change what transformers generates: files carry none of "
        "it, so give it to the runtime where that can do it"
    )
    return (note,) if found else ()
