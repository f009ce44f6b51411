"""Where members are made: tokenizers as they were before any tool touched them, and models that have learnt."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny import tiny_config, write_tiny_tokenizer

from zoo.edit import edit
from zoo.lesson import CHATS, SENTENCES, chats, sentences, teach

INNER = 96
PAD = "<pad>"


@dataclass(frozen=True)
class Bench:
    """A folder for what is made once and used by several members, in one environment after the other."""

    work: Path

    def environment(self, name: str) -> Path:
        """The interpreter of another environment."""
        return self.work / "environments" / name / "bin" / "python"

    def tokenizer(self, source: str, **settings: Any) -> Any:
        """The tokenizer of `SOURCES`, through AutoTokenizer; `settings` are set in its tokenizer_config.json first."""
        from transformers import AutoTokenizer

        folder = self.work / "tokenizers" / source
        if not folder.is_dir():
            folder.mkdir(parents=True)
            SOURCES[source](folder)
        changed = self.work / "changed"
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(folder, changed)
        edit(changed / "tokenizer_config.json", **settings)
        (changed / "special_tokens_map.json").unlink(missing_ok=True)  # it says the roles again, and would win
        return AutoTokenizer.from_pretrained(changed)

    def model(self, lesson: str, **config: Any) -> Any:
        """A model of transformers that knows a lesson of `LESSONS`, in float32; `config` are other entries."""
        from safetensors.torch import load_file, save_file
        from transformers import LlamaConfig, LlamaForCausalLM

        source, taught = LESSONS[lesson]
        tokenizer = self.tokenizer(source)
        roles = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
        entries = tiny_config(intermediate_size=INNER, vocab_size=len(tokenizer), **roles)
        weights = self.work / "weights" / f"{lesson}.safetensors"
        if not weights.is_file():
            torch.manual_seed(0)
            model = LlamaForCausalLM(LlamaConfig(**entries))
            teach(model, taught(tokenizer))
            weights.parent.mkdir(parents=True, exist_ok=True)
            own = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}
            save_file(own, weights)
        model = LlamaForCausalLM(LlamaConfig(**{**entries, **config}))
        learnt = load_file(weights)
        learnt["lm_head.weight"] = learnt["model.embed_tokens.weight"]
        model.load_state_dict(learnt)
        return model.eval()


def _byte_level(folder: Path) -> None:
    """A tokenizer trained on the lessons with ByteLevel splitting alone, as GPT-2's: it joins digits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=310,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ("In 1874, 1874 and 1875.", *SENTENCES, *(word for chat in CHATS for word in chat))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    end = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192, **end}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


SOURCES: dict[str, Callable[[Path], None]] = {
    "base": lambda folder: write_tiny_tokenizer(folder, instruct=False),
    "instruct": lambda folder: write_tiny_tokenizer(folder, instruct=True),
    "byte-level": _byte_level,
}
"""Tokenizers as the models were trained with: SmolLM2's two, and one with GPT-2's splitting."""

LESSONS: dict[str, tuple[str, Callable[[Any], list[list[int]]]]] = {
    "base": ("base", sentences),
    "instruct": ("instruct", chats),
    "byte-level": ("byte-level", sentences),
}
"""The tokenizer of each lesson, and its texts."""
