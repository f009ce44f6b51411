"""Make the adapters and merged tensors in this folder with PEFT itself: see README.md for the environment.

    python tests/checkpoint/peft/make.py

Each member is a small adapter as PEFT saves it, random weights in place of trained ones, and `merged.safetensors`: the
tensors in which `merge_and_unload` differs from the base, in float32. Tied matrices are cloned before, as PEFT advises
for an adapter of an embedding or a head: merged into one that is shared, it makes another model than was trained. That
the merged model computes what the adapted one does is asserted here.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
from tiny import write_tiny_checkpoint  # noqa: E402

SHAPE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ROWS = 326
MEMBERS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": PROJECTIONS},
    "patterns": {
        "target_modules": PROJECTIONS,
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 5, r"0\.mlp\.(gate|down)_proj": 3, "proj": 6},
        "alpha_pattern": {r".*layers\.1.*": 11, "self_attn.v_proj": 1, "q_proj": 7, "pro": 99},
    },
    "rank-stabilised": {"target_modules": PROJECTIONS, "use_rslora": True, "rank_pattern": {"o_proj": 2}},
    "dora": {"target_modules": PROJECTIONS, "use_dora": True, "use_rslora": True},
    "norms": {"target_modules": r".*\.1\..*(q|v)_proj", "modules_to_save": ["norm", "input_layernorm"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "embedding-dora": {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True},
    "embedding-tied": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding-whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "head-whole": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "both-whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "both-whole-tied": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens", "lm_head"],
        "ensure_weight_tying": True,
    },
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [5, 3]},
    "resized": {"target_modules": ["q_proj"], "rows": ROWS},
    "resized-tokens": {"target_modules": ["q_proj"], "rows": ROWS, "trainable_token_indices": list(range(320, ROWS))},
    "resized-whole": {"target_modules": ["q_proj"], "rows": ROWS, "modules_to_save": ["embed_tokens", "lm_head"]},
}
"""Settings of `LoraConfig`, and the rows of a vocabulary that was resized before."""


def make(name: str, base: Path, rows: int | None = None, **settings: Any) -> None:
    """One member's folder."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    adapted = get_peft_model(load(base, rows), LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    merged, logits = merge(base, rows, folder)
    saved = json.loads((folder / "adapter_config.json").read_text())
    saved["base_model_name_or_path"] = "base"
    saved["target_modules"] = (
        saved["target_modules"] if isinstance(saved["target_modules"], str) else sorted(saved["target_modules"])
    )
    (folder / "adapter_config.json").write_text(json.dumps(saved, indent=2) + "\n")
    before = load_file(base / "model.safetensors")
    before["lm_head.weight"] = before["model.embed_tokens.weight"]
    changed = {key: value for key, value in merged.items() if not torch.equal(value, before[key])}
    save_file({key: value.clone().contiguous() for key, value in changed.items()}, folder / "merged.safetensors")
    difference = (adapted.eval()(IDS).logits - logits).abs().max().item()
    assert difference < 1e-4, f"{name}: what was merged is not what was adapted, {difference}"
    size = sum(file.stat().st_size for file in folder.iterdir())
    sys.stdout.write(f"{name}: {len(changed)} tensors changed, {size:,} bytes, logits differ by {difference:.1e}\n")


IDS = torch.arange(2, 60)[None]


def load(base: Path, rows: int | None) -> Any:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if rows is not None:
        torch.manual_seed(1)
        model.resize_token_embeddings(rows)
    return model


def merge(base: Path, rows: int | None, folder: Path) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The merged tensors and their logits, every parameter that two layers share cloned before."""
    adapted = PeftModel.from_pretrained(load(base, rows), folder)
    seen: set[int] = set()
    for module in adapted.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in seen:
                setattr(module, name, torch.nn.Parameter(parameter.detach().clone()))
            seen.add(id(parameter))
    merged = adapted.merge_and_unload()
    return dict(merged.state_dict()), merged.eval()(IDS).logits


def main() -> None:
    """All of them."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        base = write_tiny_checkpoint(Path(place) / "base", **SHAPE)
        for name, settings in MEMBERS.items():
            make(name, base, **settings)


if __name__ == "__main__":
    main()
