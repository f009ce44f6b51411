"""What a GGUF file says of the model and its tokenizer."""

from collections import Counter
from typing import Any

from smolship.checkpoint import Outline
from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.export.gguf.types import type_of
from smolship.quantize import QuantizedModel


def add_metadata(writer: Any, checkpoint: Outline, context: int, file_type: str) -> None:
    """The architecture, the context length and the file type, a name of gguf.LlamaFileType."""
    import gguf

    a = checkpoint.architecture
    writer.add_name(checkpoint.name)
    if checkpoint.licence is not None:
        writer.add_license(checkpoint.licence)
    writer.add_context_length(context)
    writer.add_embedding_length(a.hidden)
    writer.add_block_count(a.layers)
    writer.add_feed_forward_length(a.intermediate)
    writer.add_head_count(a.heads)
    writer.add_head_count_kv(a.kv_heads)
    writer.add_rope_dimension_count(a.head_dim)
    writer.add_rope_freq_base(a.rope_theta)
    writer.add_layer_norm_rms_eps(a.norm_epsilon)
    writer.add_vocab_size(a.vocabulary)
    writer.add_file_type(int(gguf.LlamaFileType[file_type]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_tokenizer(writer: Any, checkpoint: Outline) -> None:
    """The vocabulary, merges, special tokens and the chat template."""
    import gguf

    tokenizer, a = checkpoint.tokenizer, checkpoint.architecture
    tokens = tokenizer.vocabulary()
    types = [int(gguf.TokenType.NORMAL)] * len(tokens)
    for token in tokenizer.added:  # llama.cpp finds both kinds in the text before BPE, and no normal token
        types[token.id] = int(gguf.TokenType.CONTROL if token.special else gguf.TokenType.USER_DEFINED)
    for index in tokenizer.spare:
        types[index] = int(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(tokenizer.merges())
    writer.add_bos_token_id(a.bos_id)
    _add_ends(writer, checkpoint)
    writer.add_pad_token_id(a.pad_id)
    if tokenizer.roles.get("unk_token") in tokens:
        writer.add_unk_token_id(tokens.index(tokenizer.roles["unk_token"]))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.shipped_template)


def _add_ends(writer: Any, checkpoint: Outline) -> None:
    """What ends an answer: the token that templates know as `eos_token`, then the ends of a turn and of a message.

    llama.cpp ends at each of the three; the table of formats says that there are no more.
    """
    ends = checkpoint.architecture.end_ids
    named = checkpoint.tokenizer.vocabulary().index(checkpoint.tokenizer.roles["eos_token"])
    listed = tuple(dict.fromkeys((named, *ends)))
    adding = (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id)
    for add, index in zip(adding, listed, strict=False):
        add(index)


def file_type_of(model: QuantizedModel) -> str:
    """`MOSTLY_…`: what most weights of the layers are; llama.cpp only shows it, and reads each tensor's own type."""
    shapes, weights = model.checkpoint.architecture.shapes(), Counter[str]()
    for name in model.matrices():
        if name not in (EMBEDDING, HEAD):
            weights[type_of(name, model.grid(name, "gguf").name).file_type] += shapes[name][0] * shapes[name][1]
    return weights.most_common(1)[0][0]
