"""Which tool makes which member: one literal table for each environment."""

import torch

from zoo import layouts
from zoo.converted import converted
from zoo.layouts import imitated, mlx
from zoo.saved import (
    Maker,
    config_says,
    eos_in_tokenizer,
    head,
    mixed,
    named_token,
    padded,
    plain,
    several_ends,
    sharded,
    smollm_first,
    template_in_config,
    unsloth,
)
from zoo.trained import chat_format, cloned_template, supervised

MAKERS: dict[str, dict[str, Maker]] = {
    "transformers4": {
        "base": plain("base", "base"),
        "instruct": plain("instruct", "instruct"),
        "template-in-config": template_in_config,
        "several-ends": several_ends,
        "eos-in-tokenizer": eos_in_tokenizer,
        "pad-64": padded(64),
        "pad-added": padded(None, "<tool_call>", "</tool_call>", dtype=torch.float16),
        "untied": head(apart=True),
        "untied-equal": head(apart=False),
        "head-missing": head(apart=False, kept=False),
        "mixed": mixed,
        "sharded": sharded,
        "smollm-first": smollm_first,
        "rope-scaling-default": config_says(rope_scaling={"rope_type": "default"}),
        "rope-scaling-llama3": config_says(
            rope_scaling={
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 1024,
            }
        ),
        "sliding-window": config_says(sliding_window=4),
        "unsloth": unsloth,
        "trl-chat-format": chat_format,
        "trainer": supervised,
        "gptq": imitated(layouts.gptq, quantization_config=layouts.GPTQ),
        "awq": imitated(layouts.awq, quantization_config=layouts.AWQ),
        "float8": imitated(layouts.float8, quantization_config=layouts.FLOAT8),
    },
    "transformers5": {
        "v5-base": plain("base", "base"),
        "v5-instruct": plain("instruct", "instruct", tokenizer_class="PreTrainedTokenizerFast"),
        "v5-gpt2-tokenizer": plain("instruct", "instruct", tokenizer_class="GPT2Tokenizer"),
        "v5-named-token": named_token,
        "v5-byte-level": plain("byte-level", "byte-level"),
        "v5-several-ends": several_ends,
        "v5-eos-in-tokenizer": eos_in_tokenizer,
        "v5-pad-64": padded(64),
        "v5-untied": head(apart=True),
        "v5-head-differs": head(apart=True, says_tied=True),
        "v5-head-equal": head(apart=False, says_tied=True),
        "v5-rope-theta": config_says(rope_parameters=..., rope_theta=100000, rope_scaling=None, dtype="bfloat16"),
        "trl-clone-template": cloned_template,
        "v5-trainer": supervised,
        "mlx": mlx(),
        "mlx-4bit": mlx("-q", "--q-bits", "4", "--q-group-size", "32"),
        "bitsandbytes": layouts.bitsandbytes,
        "gguf-instruct": converted("instruct", "smollm", "f16"),
        "gguf-byte-level": converted("v5-byte-level", "gpt-2", "bf16"),
        "gguf-pad-64": converted("pad-64", "smollm", "bf16"),
        "gguf-untied": converted("untied", "smollm", "bf16"),
    },
}
"""Member and maker, by the environment that it runs in; in the order in which they are made."""

UNANSWERED = frozenset(
    {"head-missing", "rope-scaling-llama3", "sliding-window", "gptq", "awq", "float8", "mlx-4bit", "bitsandbytes"}
    | {name for name in MAKERS["transformers5"] if name.startswith("gguf-")}
)
"""Members of which no answers are kept: they are to be refused, or the folder that they come from has the answers."""
