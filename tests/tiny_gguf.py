"""The tiny SmolLM2 as a GGUF, written by gguf-py the way llama.cpp's converter does."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tiny import CHAT_TEMPLATE, SPECIALS, tiny_config, tiny_weights, write_tiny_tokenizer

NAMES = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 64)


def write_tiny_gguf(
    path: Path,
    *,
    storage: str = "F32",
    arch: str = "llama",
    head: NDArray[np.float32] | None = None,
    head_storage: str | None = None,
    **metadata: Any,
) -> Path:
    """Write one file with its matrices in `storage` (a GGML type of blocks of 32 at most) and return it.

    A `head` becomes `output.weight`, in `head_storage` if that is another.
    `metadata` replaces entries by key, dots spelled as double underscores; `None` leaves an entry out.
    """
    config = tiny_config()
    fields = _architecture_fields(config, arch) | _tokenizer_fields(path.parent) | _spelled(metadata)
    writer = gguf.GGUFWriter(path, arch)
    for key, value in fields.items():
        if value is not None:
            _add(writer, key, value)
    for name, weight in tiny_weights(config).items():
        _add_tensor(writer, name, weight, config, gguf.GGMLQuantizationType[storage])
    if head is not None:
        _add_tensor(writer, "lm_head.weight", head, config, gguf.GGMLQuantizationType[head_storage or storage])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _architecture_fields(config: dict[str, Any], arch: str) -> dict[str, Any]:
    return {
        f"{arch}.block_count": config["num_hidden_layers"],
        f"{arch}.context_length": config["max_position_embeddings"],
        f"{arch}.embedding_length": config["hidden_size"],
        f"{arch}.feed_forward_length": config["intermediate_size"],
        f"{arch}.attention.head_count": config["num_attention_heads"],
        f"{arch}.attention.head_count_kv": config["num_key_value_heads"],
        f"{arch}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{arch}.rope.freq_base": float(config["rope_theta"]),
        f"{arch}.rope.dimension_count": config["hidden_size"] // config["num_attention_heads"],
        f"{arch}.vocab_size": config["vocab_size"],
    }


def _tokenizer_fields(folder: Path) -> dict[str, Any]:
    write_tiny_tokenizer(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": list(model["vocab"]),
        "tokenizer.ggml.token_type": [3 if token in SPECIALS else 1 for token in model["vocab"]],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def _spelled(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in metadata.items()}


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_string(key, value)


def _add_tensor(
    writer: gguf.GGUFWriter,
    name: str,
    weight: NDArray[np.float32],
    config: dict[str, Any],
    storage: gguf.GGMLQuantizationType,
) -> None:
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is not None:  # LlamaModel.permute of convert_hf_to_gguf.py
        n = config[heads]
        weight = weight.reshape(n, 2, weight.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(weight.shape)
    kind = storage if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
    stored_name = NAMES.get_name(name, try_suffixes=(".weight",))
    assert stored_name is not None
    writer.add_tensor(stored_name, gguf.quantize(np.ascontiguousarray(weight), kind), raw_dtype=kind)
