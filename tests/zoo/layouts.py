"""Checkpoints that are quantised already, in four tools' layouts, and MLX's unquantised one.

bitsandbytes and MLX are the real tools (both run on a CPU); GPTQ, AWQ and compressed-tensors are imitated, for their
tools want a GPU: names, shapes and storages of their layers as they write them, and their `quantization_config`.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from zoo.bench import Bench
from zoo.edit import edit
from zoo.saved import save

Tensors = dict[str, torch.Tensor]


def bitsandbytes(bench: Bench, folder: Path) -> None:
    """Loaded by transformers in nf4 and saved again."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    whole = _whole(bench)
    order = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoModelForCausalLM.from_pretrained(whole, quantization_config=order, device_map="cpu")
    model.save_pretrained(folder)
    bench.tokenizer("instruct").save_pretrained(folder)


def mlx(*options: str) -> Callable[[Bench, Path], None]:
    """A maker by mlx-lm's `convert`: with `-q` quantised, else MLX's copy in bfloat16."""

    def make(bench: Bench, folder: Path) -> None:
        folder.rmdir()  # it wants to make it
        places = ["--hf-path", str(_whole(bench)), "--mlx-path", str(folder)]
        subprocess.run([bench.environment("mlx"), "-m", "mlx_lm", "convert", *places, *options], check=True)
        (folder / "README.md").unlink(missing_ok=True)

    return make


def imitated(layer: Callable[[str, int, int], Tensors], **config: Any) -> Callable[[Bench, Path], None]:
    """A maker of the instruct folder with each projection replaced by what `layer` says of its name, out and in."""

    def make(bench: Bench, folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        save(bench.model("instruct"), bench.tokenizer("instruct"), folder)
        kept: Tensors = {}
        for name, weight in load_file(folder / "model.safetensors").items():
            stem = name.removesuffix(".weight")
            kept |= layer(stem, *weight.shape) if stem.endswith("_proj") else {name: weight}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
        edit(folder / "config.json", **config)

    return make


def gptq(stem: str, out: int, columns: int) -> Tensors:
    """AutoGPTQ's and GPTQModel's four tensors of a layer, 4 bits in groups of 32."""
    groups = columns // 32
    return {
        f"{stem}.qweight": torch.zeros(columns // 8, out, dtype=torch.int32),
        f"{stem}.qzeros": torch.zeros(groups, out // 8, dtype=torch.int32),
        f"{stem}.scales": torch.ones(groups, out, dtype=torch.float16),
        f"{stem}.g_idx": torch.arange(columns, dtype=torch.int32) // 32,
    }


def awq(stem: str, out: int, columns: int) -> Tensors:
    """AutoAWQ's three: packed along the other axis."""
    groups = columns // 32
    return {
        f"{stem}.qweight": torch.zeros(columns, out // 8, dtype=torch.int32),
        f"{stem}.qzeros": torch.zeros(groups, out // 8, dtype=torch.int32),
        f"{stem}.scales": torch.ones(groups, out, dtype=torch.float16),
    }


def float8(stem: str, out: int, columns: int) -> Tensors:
    """compressed-tensors' FP8: one scale a row."""
    return {
        f"{stem}.weight": torch.zeros(out, columns, dtype=torch.float8_e4m3fn),
        f"{stem}.weight_scale": torch.ones(out, 1),
    }


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
FLOAT8 = {"quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed"}


def _whole(bench: Bench) -> Path:
    """The instruct model as a folder, for tools that start from one."""
    folder = bench.work / "whole"
    if not folder.is_dir():
        save(bench.model("instruct"), bench.tokenizer("instruct"), folder)
    return folder
