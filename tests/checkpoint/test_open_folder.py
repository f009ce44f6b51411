"""Folders of safetensors, as the hub keeps them."""

import hashlib
import json
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config, tiny_weights, write_tiny_checkpoint

from smolship.checkpoint import Architecture, Checkpoint, open_checkpoint
from smolship.checkpoint.folder.config import read_config
from smolship.checkpoint.token_ids import TokenIds


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_come_back_as_float32(tmp_path: Path, dtype: str, shards: int) -> None:
    import torch

    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path, dtype=dtype, shards=shards)))
    assert checkpoint.source.stored_as == dtype
    assert not checkpoint.source.already_quantised
    for name, weight in tiny_weights(tiny_config()).items():
        found = checkpoint.tensors.read(name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, torch.from_numpy(weight).to(getattr(torch, dtype)).float().numpy())


def test_source_says_where_it_came_from(tiny_checkpoint: Checkpoint, tiny_folder: Path) -> None:
    source = tiny_checkpoint.source
    assert (source.kind, source.location, source.revision) == ("folder", "TinyLM2-Instruct", None)
    assert source.sha256 == hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()
    assert tiny_checkpoint.name == "TinyLM2-Instruct"


def test_digest_of_shards_is_that_of_their_sorted_lines(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path, shards=2)
    files = sorted(folder.glob("*.safetensors"))
    lines = "".join(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)
    assert open_checkpoint(str(folder)).source.sha256 == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(("instruct", "eos_id"), [(True, 2), (False, 0)])
def test_base_and_instruct_end_where_their_config_says(tmp_path: Path, instruct: bool, eos_id: int) -> None:
    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path, instruct=instruct)))
    assert checkpoint.is_instruct is instruct
    assert checkpoint.architecture.eos_id == eos_id


def test_a_tied_head_saved_twice_and_rotary_tables_are_left_out(tmp_path: Path) -> None:
    from tiny import write_safetensors

    folder = write_tiny_checkpoint(tmp_path)
    weights = tiny_weights(tiny_config())
    extra = {"lm_head.weight": weights["model.embed_tokens.weight"]}
    extra["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    write_safetensors(folder / "model.safetensors", weights | extra)
    assert open_checkpoint(str(folder)).tensors.read("model.norm.weight").shape == (64,)


SIZES = {
    # hidden, intermediate, layers, heads, key-value heads, rope base, parameters
    "135M": (576, 1536, 30, 9, 3, 100000, 134515008),
    "360M": (960, 2560, 32, 15, 5, 100000, 361821120),
    "1.7B": (2048, 8192, 24, 32, 32, 130000, 1711376384),
}


@pytest.mark.parametrize("instruct", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_all_six_models_by_their_own_config(size: str, instruct: bool) -> None:
    hidden, inner, layers, heads, kv_heads, theta, parameters = SIZES[size]
    config = tiny_config(
        instruct=instruct,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rope_theta=theta,
        vocab_size=49152,
    )
    del config["pad_token_id"]
    begin, end = (1, 2) if instruct else (0, 0)
    architecture = read_config(config, "here", TokenIds(begin, (end,), end, ()))
    assert architecture == Architecture(
        49152, hidden, inner, layers, heads, kv_heads, 64, float(theta), 1e-5, 8192, begin, (end,), end
    )
    assert architecture.parameters == parameters


def test_rotary_base_in_the_spelling_of_transformers_5() -> None:
    config = tiny_config(rope_parameters={"rope_theta": 130000.0, "rope_type": "default"})
    del config["rope_theta"]
    assert read_config(config, "here").rope_theta == 130000.0


PEAK = """
import sys
from smolship.checkpoint import open_checkpoint
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
import tokenizers
before = peak()
checkpoint = open_checkpoint(sys.argv[1])
opened = peak()
checkpoint.tensors.read("model.layers.0.mlp.up_proj.weight")
print(opened - before, peak() - before)
"""


def test_opening_reads_no_weights_into_memory(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path, num_hidden_layers=1)
    config = tiny_config(num_hidden_layers=1, hidden_size=2048, intermediate_size=8192, num_attention_heads=32)
    (folder / "config.json").write_text(json.dumps(config))
    write_sparse(folder / "model.safetensors", read_config(config, "").shapes())
    assert (folder / "model.safetensors").stat().st_size > 230e6
    run = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
    opened, read = (int(kilobytes) * 1024 for kilobytes in run.stdout.split())
    assert opened < 30e6
    assert read < 30e6 + 2 * 8192 * 2048 * 4  # the mapped pages of one tensor, and its float32 copy


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros that takes no room on disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, smolship.checkpoint; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "tokenizers", "jinja2", "gguf", "huggingface_hub", "safetensors", "requests"}
    assert heavy.isdisjoint(run.stdout.split())
