"""`genai_config.json`: what ONNX Runtime GenAI reads beside the model file."""

from smolship.checkpoint.architecture import Architecture

CHUNK = 128
"""Tokens of a prompt that are taken at once. ONNX Runtime multiplies 128 rows at a time anyway; measured on 512 tokens
of SmolLM2-135M, chunks are 8 % faster than the whole and need 34 MB less for activations."""


def one_or_all(ids: tuple[int, ...]) -> int | list[int]:
    """What ends an answer as its clients spell it: a number, or a list where there are several."""
    return ids[0] if len(ids) == 1 else list(ids)


def genai_config(a: Architecture, model_file: str, context: int) -> dict[str, object]:
    """The configuration by ONNX Runtime GenAI's own names (its documentation, "Config reference"); greedy by default.

    The KV cache is one buffer of `context` tokens that the graph reads and writes; `context` may be changed here, up
    to the model's own, without touching the model file.
    """
    length = min(context, a.max_positions)
    return {
        "model": {
            "type": "llama",
            "bos_token_id": a.bos_id,
            "eos_token_id": one_or_all(a.end_ids),
            "pad_token_id": a.pad_id,
            "context_length": length,
            "vocab_size": a.vocabulary,
            "decoder": {
                "filename": model_file,
                "head_size": a.head_dim,
                "hidden_size": a.hidden,
                "num_attention_heads": a.heads,
                "num_hidden_layers": a.layers,
                "num_key_value_heads": a.kv_heads,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
            },
        },
        "search": {
            "do_sample": False,
            "max_length": length,
            "num_beams": 1,
            "past_present_share_buffer": True,
            "chunk_size": CHUNK,
        },
    }
