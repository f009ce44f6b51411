"""The constant methods that ExecuTorch's LLM runner asks a file for."""

from typing import Any

from smolship.checkpoint.architecture import Architecture


def metadata(architecture: Architecture, context: int, chunk: int, *, custom_sdpa: bool = False) -> dict[str, Any]:
    """Of a file with a cache of `context` positions that takes from 1 to `chunk` tokens a call."""
    return {
        "get_max_seq_len": chunk,
        "get_max_context_len": context,
        "get_vocab_size": architecture.vocabulary,
        "get_n_layers": architecture.layers,
        "get_bos_id": architecture.bos_id,
        "get_eos_ids": list(architecture.end_ids),
        "use_kv_cache": True,
        "enable_dynamic_shape": chunk > 1,
        "use_sdpa_with_kv_cache": custom_sdpa,
    }
