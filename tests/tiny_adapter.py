"""A small LoRA adapter of the tiny SmolLM2, in the layout of PEFT."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tiny import write_safetensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
Q = "base_model.model.model.layers.0.self_attn.q_proj"


def write_lora(
    folder: Path,
    dtype: str = "float32",
    rename: Callable[[str], str] = str,
    changes: dict[str, Any] | None = None,
) -> Path:
    """A LoRA of one projection of the tiny model, rank 4, alpha 8; `changes` replace tensors, `...` leaves one out."""
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "me/base", "r": 4, "lora_alpha": 8, "task_type": None}
    (folder / CONFIG).write_text(json.dumps(config))
    random = np.random.default_rng(3)
    tensors: dict[str, Any] = {
        f"{Q}.lora_A.weight": np.asarray(random.standard_normal((4, 64)), np.float32),
        f"{Q}.lora_B.weight": np.asarray(random.standard_normal((64, 4)), np.float32),
    }
    kept = {rename(name): one for name, one in (tensors | (changes or {})).items() if one is not ...}
    write_safetensors(folder / WEIGHTS, kept, dtype)
    return folder
