"""Facts that a checkpoint states in two places, and what has to be named where they differ: one literal table."""

from dataclasses import dataclass

from tiny import CHAT_TEMPLATE

from zoo.stating import (
    Make,
    also_added,
    default_template,
    ending,
    flagged,
    gguf,
    headed,
    indexed,
    norm_in,
    padded,
    renamed,
    role,
    rows,
    stated,
    templates,
)


@dataclass(frozen=True)
class Fact:
    """One fact and its two places."""

    agree: Make
    differ: Make
    named: tuple[str, ...]
    """patterns of both places, or of what they say, all of which one sentence has to hold where they differ"""


TOKENIZER = r"tokenizer_config\.json|special_tokens_map\.json"
DEFAULT = {"rope_type": "default"}
WITH_THETA = {**DEFAULT, "rope_theta": 100000.0}
OTHER_THETA = {**DEFAULT, "rope_theta": 20000.0}

FACTS = {
    "tied, and a head": Fact(headed(1), headed(2), (r"lm_head\.weight", "tie_word_embeddings|tied")),
    "untied, and no head": Fact(
        headed(2, tie_word_embeddings=False),
        headed(None, tie_word_embeddings=False),
        (r"lm_head\.weight", "tie_word_embeddings|tied"),
    ),
    "end: config and generation config": Fact(
        ending(2, 2, "<|im_end|>"), ending(0, 2, "<|im_end|>"), (r"(?<!n_)config\.json", r"generation_config\.json")
    ),
    "end: configs and tokenizer": Fact(
        ending(2, 2, "<|im_end|>"), ending(0, 0, "<|im_end|>"), (TOKENIZER, r"<\|im_end\|>")
    ),
    "end: everything and the template": Fact(
        ending(0, 0, "<|endoftext|>", turn="<|endoftext|>"),
        ending(0, 0, "<|endoftext|>"),
        ("template", r"<\|im_end\|>"),
    ),
    "end: the tokenizer's two files": Fact(
        stated({}),
        stated({"tokenizer_config": {"eos_token": "<|endoftext|>"}}),
        (r"tokenizer_config\.json", r"special_tokens_map\.json"),
    ),
    "begin: config and tokenizer": Fact(
        role("bos_token", "<|im_start|>"), role("bos_token", "<|endoftext|>"), ("bos|begin", TOKENIZER)
    ),
    "padding: config and tokenizer": Fact(
        role("pad_token", "<|im_end|>"), role("pad_token", "<|endoftext|>"), ("pad", TOKENIZER)
    ),
    "rope_theta and rope_parameters": Fact(
        stated({"config": {"rope_parameters": WITH_THETA}}),
        stated({"config": {"rope_parameters": OTHER_THETA}}),
        (r"rope_theta 100000|100000(\.0)?", "rope_parameters"),
    ),
    "rope_theta and rope_parameters without one": Fact(
        stated({"config": {"rope_parameters": DEFAULT}}),
        stated({"config": {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}}),
        ("rope_parameters", "linear"),
    ),
    "rope_theta and rope_scaling": Fact(
        stated({"config": {"rope_scaling": WITH_THETA}}),
        stated({"config": {"rope_scaling": OTHER_THETA}}),
        ("100000|20000", "rope_scaling"),
    ),
    "rope_scaling and rope_parameters": Fact(
        stated({"config": {"rope_scaling": {"type": "default"}, "rope_parameters": WITH_THETA}}),
        stated({"config": {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": WITH_THETA}}),
        ("rope_scaling", "linear"),
    ),
    "dtype and the weights": Fact(
        stated({"config": {"torch_dtype": ..., "dtype": "float32"}}),
        stated({"config": {"torch_dtype": ..., "dtype": "bfloat16"}}),
        ("bfloat16", "float32"),
    ),
    "dtype and torch_dtype": Fact(
        stated({"config": {"dtype": "float32"}}),
        stated({"config": {"dtype": "float16", "torch_dtype": "float32"}}),
        (r"\bdtype", "torch_dtype"),
    ),
    "vocabulary: config and weights": Fact(stated({}), stated({"config": {"vocab_size": 384}}), (r"384", r"320")),
    "vocabulary: weights and tokenizer": Fact(rows(321, 321), rows(384, 321), ("384 rows", "no text|321")),
    "vocabulary: a token without a row": Fact(rows(321, 321), rows(320, 321), ("<more 320>|321", "320 rows|320")),
    "layers: config and weights": Fact(
        stated({}), stated({"config": {"num_hidden_layers": 1}}), (r"layers\.1\.", r"config\.json")
    ),
    "heads: config and weights": Fact(
        stated({}), stated({"config": {"num_key_value_heads": 1}}), (r"k_proj", r"config\.json")
    ),
    "an index and a single file": Fact(
        indexed(shards=1), indexed(shards=2), (r"index\.json", r"model\.safetensors\b(?!\.)")
    ),
    "a tensor in two files": Fact(norm_in(1), norm_in(2), ("model-00001-of-00002", "index|model-00002-of-00002")),
    "template: its file and the config": Fact(
        templates(CHAT_TEMPLATE), templates("{{ messages }}"), (r"chat_template\.jinja", r"tokenizer_config\.json")
    ),
    "added tokens: tokenizer and its config": Fact(
        padded("tokenizer_config.json", known=True),
        padded("tokenizer_config.json", known=False),
        (r"tokenizer_config\.json", "<pad>"),
    ),
    "added tokens: tokenizer and their own file": Fact(
        padded("added_tokens.json", known=True),
        padded("added_tokens.json", known=False),
        (r"added_tokens\.json", "<pad>"),
    ),
    "added tokens: tokenizer and additional_special_tokens": Fact(
        also_added(additional_special_tokens=["<file_sep>"]),
        also_added(additional_special_tokens=["<x>"]),
        ("additional_special_tokens|tokenizer_config", "<x>"),
    ),
    "added tokens: tokenizer and extra_special_tokens": Fact(
        also_added(extra_special_tokens={"image_token": "<file_sep>"}),
        also_added(extra_special_tokens={"image_token": "<x>"}),
        ("extra_special_tokens|tokenizer_config", "<x>"),
    ),
    "added tokens: list and vocabulary": Fact(renamed("<file_sep>"), renamed("<tool>"), ("<tool>", "<file_sep>")),
    "added tokens: flags": Fact(flagged(), flagged(lstrip=True), (r"tokenizer_config\.json", "lstrip")),
    "template: another default": Fact(
        default_template(CHAT_TEMPLATE), default_template("{{ messages }}"), ("additional_chat_templates", "template")
    ),
    "end: a generation config that denies it": Fact(
        stated({}), stated({"generation_config": {"eos_token_id": None}}), (r"generation_config\.json", "end|eos")
    ),
    "GGUF: end and template": Fact(gguf(), gguf(tokenizer__ggml__eos_token_id=0), ("template", r"<\|im_end\|>")),
    "GGUF: vocabulary and tokens": Fact(gguf(), gguf(llama__vocab_size=384), ("384", "320")),
}
