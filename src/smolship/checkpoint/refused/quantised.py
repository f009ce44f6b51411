"""Checkpoints whose weights were quantised already, recognised by their config, else by their tensors' names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smolship.checkpoint.folder.safetensors_file import STORED, StoredTensor
from smolship.errors import InputError

_TITLES = {
    "bitsandbytes": "bitsandbytes",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "auto-round": "AutoRound",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8 of FBGEMM",
    "hqq": "HQQ",
    "aqlm": "AQLM",
    "eetq": "EETQ",
    "quanto": "Quanto",
    "modelopt": "NVIDIA ModelOpt",
    "mxfp4": "MXFP4",
    "bitnet": "BitNet",
    "spqr": "SpQR",
    "vptq": "VPTQ",
}
"""`quant_method` as its makers write it; any other goes by its own name"""
_MLX = "MLX"
_BY_TENSOR = (
    ("GPTQ or AWQ", (".qweight", ".qzeros", ".g_idx")),
    ("bitsandbytes", (".absmax", ".quant_map", ".nested_absmax", ".SCB", ".weight_format")),
    ("bitsandbytes", (".bitsandbytes__nf4", ".bitsandbytes__fp4")),
    ("compressed-tensors", (".weight_packed", ".weight_shape", ".weight_zero_point")),
    ("FP8 or another format with scales", (".weight_scale", ".weight_scale_inv", ".input_scale")),
    ("HQQ", (".W_q",)),
    ("AQLM", (".codebooks", ".codes")),
    ("EETQ", (".weight_scales",)),
    ("Quanto", ("._data", "._scale")),
    (_MLX, (".scales", ".biases")),
)
"""the ends of names that no plain checkpoint has, the most telling first"""
_WANTED = "wanted weights in float32, bfloat16 or float16"
_WAYS = {
    "bitsandbytes": ", or load it with transformers, call model.dequantize() and save that",
    _MLX: ", or dequantise it with mlx_lm.convert",
}


@dataclass(frozen=True)
class Quantised:
    """What says that weights are quantised, and by what they were."""

    method: str
    reason: str

    def refusal(self, place: str) -> InputError:
        """The error for a checkpoint like that."""
        return InputError(
            f"{place} is quantised already by {self.method} ({self.reason}), {_WANTED}: "
            f"give the checkpoint that it was made from{_WAYS.get(self.method, '')}"
        )


def by_config(config: Mapping[str, Any]) -> Quantised | None:
    """What a `config.json` says; `None` if nothing in it speaks of quantised weights."""
    for entry in ("quantization_config", "compression_config"):
        found = config.get(entry)
        if not isinstance(found, dict) or not found:
            continue
        method = found.get("quant_method")
        if method is None and (found.get("load_in_4bit") or found.get("load_in_8bit")):
            method = "bitsandbytes"  # its configs named no method at first
        if method is None and isinstance(config.get("quantization"), dict):
            break  # MLX writes one thing under both names
        named = "a method it does not name" if method is None else _TITLES.get(str(method), str(method))
        return Quantised(named, f"its config.json has {entry}")
    if isinstance(config.get("quantization"), dict):
        return Quantised(_MLX, "its config.json has quantization")
    return None


def by_tensors(names: Iterable[str]) -> Quantised | None:
    """What tensors' names say; `None` if all are such as a plain checkpoint has."""
    known = sorted(names)
    for method, ends in _BY_TENSOR:
        for name in known:
            if name.endswith(ends):
                return Quantised(method, f"it holds {name}")
    return None


def refuse_quantised(place: str, config: Mapping[str, Any], found: Mapping[str, StoredTensor] | None) -> None:
    """`InputError` if the checkpoint in `place` is quantised, by what its config or its tensors say.

    `found` are its tensors, `None` if the weights are not at hand. Plain weights under a config that calls them
    quantised are an error that names both: transformers would quantise them as it loads them.
    """
    said, seen = by_config(config), by_tensors(found or ())
    if said is not None and seen is None and found and all(one.storage in STORED for one in found.values()):
        raise InputError(
            f"{place} holds plain weights and {said.reason} ({said.method}): take that entry out if the weights were "
            "merged or dequantised, else give the checkpoint that was quantised"
        )
    if (quantised := said or seen) is not None:
        raise quantised.refusal(place)
