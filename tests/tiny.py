"""A tiny random SmolLM2 on disk: the real one's shape of config, tokenizer and tensors, with 0.2 million weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>",
    "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>",
    "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<empty_output>",
)  # fmt: skip
"""SmolLM2's 17 special tokens, in its order."""

MERGES = (
    "Ġ t", "Ġ a", "i n", "h e", "Ġ Ġ", "r e", "o n", "e r", "Ġt he", "a t", "Ġ s", "Ġ o", "e n", "Ġ c", "e s",
    "Ġ w", "n d", "i t", "o r", "i s", "a l", "Ġ p", "in g", "Ġ f", "Ġo f", "Ġ b", "e d", "Ġa nd", "Ġ m",
    "Ġt o", "Ġ d", "a n", "Ġ h", "Ġin", "a r", "ĠĠ ĠĠ", "Ċ Ċ", "Ġ is", "l e", "o u", "r o", "Ġ l", "u s", "s t",
    "Ġ e", "en t", "i c", "Ġ n", "l y",
)  # fmt: skip

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2-Instruct's own template."""


def tiny_config(*, instruct: bool = True, **overrides: Any) -> dict[str, Any]:
    """A `config.json` of the hub's form; `overrides` replace entries, and `None` stays a null."""
    end = 2 if instruct else 0
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1 if instruct else 0,
        "eos_token_id": end,
        "hidden_act": "silu",
        "hidden_size": 64,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": 128,
        "is_llama_config": True,
        "max_position_embeddings": 8192,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": end,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": len(SPECIALS) + 256 + len(_merges()),
    }
    return config | overrides


def tiny_weights(config: dict[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random float32 weights by Hugging Face name, scaled so that the layers, not the embedding, decide the logits.

    A head of its own, where the config says that nothing is tied, is the last that is drawn.
    """
    random = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]

    def matrix(out: int, columns: int, scale: float) -> NDArray[np.float32]:
        return np.asarray(random.standard_normal((out, columns)) * scale, np.float32)

    def norm(scale: float) -> NDArray[np.float32]:
        return np.asarray(scale * (1 + 0.1 * random.standard_normal(hidden)), np.float32)

    gain = hidden**-0.5
    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden, 0.15)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        weights |= {
            p + "input_layernorm.weight": norm(1.0),
            p + "self_attn.q_proj.weight": matrix(hidden, hidden, 1.5 * gain),
            p + "self_attn.k_proj.weight": matrix(kv, hidden, 1.5 * gain),
            p + "self_attn.v_proj.weight": matrix(kv, hidden, gain),
            p + "self_attn.o_proj.weight": matrix(hidden, hidden, gain),
            p + "post_attention_layernorm.weight": norm(1.0),
            p + "mlp.gate_proj.weight": matrix(inner, hidden, 1.5 * gain),
            p + "mlp.up_proj.weight": matrix(inner, hidden, 1.5 * gain),
            p + "mlp.down_proj.weight": matrix(hidden, inner, inner**-0.5),
        }
    weights["model.norm.weight"] = norm(3.0)
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = matrix(config["vocab_size"], hidden, 0.15)
    return weights


def write_tiny_checkpoint(
    folder: Path, *, dtype: str = "float32", shards: int = 1, instruct: bool = True, **overrides: Any
) -> Path:
    """Write a whole checkpoint into `folder` (made if missing) and return it; `overrides` go into `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(instruct=instruct, **{"torch_dtype": dtype} | overrides)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    roles = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (folder / "generation_config.json").write_text(json.dumps({"_from_model_config": True, **roles}))
    write_tiny_tokenizer(folder, instruct=instruct)
    weights = tiny_weights(config)
    names = list(weights)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, dtype)
        return folder
    index: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        write_safetensors(folder / file, part, dtype)
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def write_safetensors(path: Path, weights: dict[str, NDArray[np.float32]], dtype: str = "float32") -> None:
    """One safetensors file, through its own library; bfloat16 is rounded to nearest even."""
    from safetensors import TensorSpec, serialize_file

    stored = {name: _stored(weight, dtype) for name, weight in weights.items()}  # alive until the file is written
    serialize_file(
        {
            name: TensorSpec(dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
            for name, array in stored.items()
        },
        path,
        {"format": "pt"},
    )


def _stored(weight: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """The array whose bytes are the weight's in `dtype`."""
    if dtype != "bfloat16":
        return np.ascontiguousarray(weight, dtype)
    bits = np.ascontiguousarray(weight).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_tiny_tokenizer(folder: Path, *, instruct: bool = True) -> None:
    """`tokenizer.json` and its two companions, built by the tokenizers library as SmolLM2's were."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIALS, *letters, *("".join(pair) for pair in _merges())]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=_merges()))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    begin, end = ("<|im_start|>", "<|im_end|>") if instruct else ("<|endoftext|>", "<|endoftext|>")
    roles = {"bos_token": begin, "eos_token": end, "pad_token": end, "unk_token": "<|endoftext|>"}
    template = {"chat_template": CHAT_TEMPLATE} if instruct else {}
    shared = {"clean_up_tokenization_spaces": False, "model_max_length": 8192, "tokenizer_class": "GPT2Tokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(shared | roles | template, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps(roles))


def _merges() -> list[tuple[str, str]]:
    """The merge rules as pairs, as many as make the vocabulary 320 tokens."""
    pairs = [tuple(rule.split(" ")) for rule in MERGES]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2][: 320 - len(SPECIALS) - 256]
