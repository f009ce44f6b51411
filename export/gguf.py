"""GGUF for llama.cpp and Ollama: `Blocks` to `Q4_0` and `Q8_0`, with all metadata and the tokenizer.

Block layouts from ggml/src/ggml-common.h: `block_q4_0` is a float16 scale and 16 bytes (code + 8; element j in the low
nibble, j + 16 in the high one); `block_q8_0` is a float16 scale and 32 int8 codes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import Checkpoint
from smolship.checkpoint.gguf_header import read_header
from smolship.checkpoint.gguf_layout import from_gguf_rows, gguf_name, rotary_heads, to_gguf_rows
from smolship.checkpoint.gguf_metadata import read_architecture
from smolship.errors import InputError
from smolship.export.ollama import modelfile
from smolship.progress import Progress, Silent
from smolship.quantize import Blocks, QuantizedModel

MODEL_FILE = "model.gguf"

# Grid → names of the tensor type (gguf.GGMLQuantizationType) and of the file type (gguf.LlamaFileType).
_TYPES = {"int4-b32": ("Q4_0", "MOSTLY_Q4_0"), "q4_0": ("Q4_0", "MOSTLY_Q4_0"), "int8-b32": ("Q8_0", "MOSTLY_Q8_0")}


def pack(model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
    """Write `model.gguf` and Ollama's `Modelfile` into `folder`; `context` tokens is the context length in both."""
    import gguf

    checkpoint = model.checkpoint
    writer = gguf.GGUFWriter(folder / MODEL_FILE, "llama")
    _add_metadata(writer, model, context)
    _add_tokenizer(writer, checkpoint)
    names = list(checkpoint.architecture.shapes())
    payload = {name: _payload(model, name) for name in names}
    for name in names:
        raw, type_name = payload[name]
        raw_type = gguf.GGMLQuantizationType[type_name] if type_name else None
        writer.add_tensor(gguf_name(name), raw, raw_dtype=raw_type)
    with progress.task("write GGUF", len(names)) as advance:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        advance(len(names))
    (folder / "Modelfile").write_text(modelfile(checkpoint, MODEL_FILE, context), encoding="utf-8")


def unpack(folder: Path) -> dict[str, Blocks]:
    """The quantised tensors of `model.gguf` in Hugging Face names and row order; grids are told from the file alone."""
    import gguf

    header = read_header(folder / MODEL_FILE)
    architecture = read_architecture(header.metadata, MODEL_FILE)
    data = np.memmap(folder / MODEL_FILE, np.uint8, "r")
    blocks = {}
    for name, shape in architecture.shapes().items():
        if len(shape) == 1:
            continue
        place = header.tensors[gguf_name(name)]
        type_ = gguf.GGMLQuantizationType(place.ggml_type)
        block, size = gguf.GGML_QUANT_SIZES[type_]
        end = place.offset + shape[0] * shape[1] // block * size
        unpacked = _UNPACK[type_.name](data[place.offset : end].reshape(shape[0], -1))
        heads = rotary_heads(name, architecture)
        if heads is not None:
            codes, scales = from_gguf_rows(unpacked.codes, heads), from_gguf_rows(unpacked.scales, heads)
            unpacked = Blocks(codes, scales, unpacked.grid)
        blocks[name] = unpacked
    return blocks


def pack_q4_0(blocks: Blocks) -> NDArray[np.uint8]:
    """`block_q4_0` bytes of 4-bit blocks of 32: uint8 [out, in/32 · 18]."""
    out = len(blocks.codes)
    unsigned = (blocks.codes + np.int8(8)).view(np.uint8).reshape(out, -1, 2, 16)  # [out, in/32, half, 16]
    nibbles = unsigned[:, :, 0] | (unsigned[:, :, 1] << 4)
    return np.concatenate([_scale_bytes(blocks), nibbles], axis=2).reshape(out, -1)


def pack_q8_0(blocks: Blocks) -> NDArray[np.uint8]:
    """`block_q8_0` bytes of 8-bit blocks of 32: uint8 [out, in/32 · 34]."""
    out = len(blocks.codes)
    codes = blocks.codes.view(np.uint8).reshape(out, -1, 32)
    return np.concatenate([_scale_bytes(blocks), codes], axis=2).reshape(out, -1)


def unpack_q4_0(raw: NDArray[np.uint8]) -> Blocks:
    """The inverse of `pack_q4_0`; the grid is `int4-b32` where every scale is positive, else `q4_0`."""
    out = len(raw)
    cells = raw.reshape(out, -1, 18)
    nibbles = cells[:, :, 2:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).astype(np.int8) - np.int8(8)
    scales = _scales(cells)
    return Blocks(codes.reshape(out, -1), scales, "int4-b32" if (scales > 0).all() else "q4_0")


def unpack_q8_0(raw: NDArray[np.uint8]) -> Blocks:
    """The inverse of `pack_q8_0`."""
    out = len(raw)
    cells = raw.reshape(out, -1, 34)
    codes = np.ascontiguousarray(cells[:, :, 2:]).view(np.int8)
    return Blocks(codes.reshape(out, -1), _scales(cells), "int8-b32")


_PACK: dict[str, Callable[[Blocks], NDArray[np.uint8]]] = {"Q4_0": pack_q4_0, "Q8_0": pack_q8_0}
_UNPACK: dict[str, Callable[[NDArray[np.uint8]], Blocks]] = {"Q4_0": unpack_q4_0, "Q8_0": unpack_q8_0}


def _scale_bytes(blocks: Blocks) -> NDArray[np.uint8]:
    halves = np.ascontiguousarray(blocks.scales.astype("<f2")[:, :, None])
    return halves.view(np.uint8)  # [out, in/32, 2]


def _scales(cells: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(cells[:, :, :2]).view("<f2").astype(np.float32)[:, :, 0]


def _payload(model: QuantizedModel, name: str) -> tuple[NDArray[Any], str | None]:
    """A tensor as it lies in the file, and its GGUF type (`None` is float32)."""
    architecture = model.checkpoint.architecture
    if name in model.vectors():
        return model.floats(name), None
    blocks = model.blocks(name, "gguf")
    if blocks.grid not in _TYPES:
        raise InputError(f"{name}: GGUF has no type for grid {blocks.grid}; it has types for {', '.join(_TYPES)}")
    type_name = _TYPES[blocks.grid][0]
    raw = _PACK[type_name](blocks)
    heads = rotary_heads(name, architecture)
    return raw if heads is None else np.ascontiguousarray(to_gguf_rows(raw, heads)), type_name


def _add_metadata(writer: Any, model: QuantizedModel, context: int) -> None:
    import gguf

    a, checkpoint = model.checkpoint.architecture, model.checkpoint
    writer.add_name(checkpoint.name)
    writer.add_license("apache-2.0")
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
    linear = model.grid(model.matrices()[1], "gguf").name
    writer.add_file_type(int(gguf.LlamaFileType[_TYPES[linear][1]]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokenizer(writer: Any, checkpoint: Checkpoint) -> None:
    import gguf

    tokenizer, a = checkpoint.tokenizer, checkpoint.architecture
    tokens = tokenizer.vocabulary()
    types = [int(gguf.TokenType.NORMAL)] * len(tokens)
    for token in tokenizer.added:  # llama.cpp finds both kinds in the text before BPE, and no normal token
        types[token.id] = int(gguf.TokenType.CONTROL if token.special else gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(tokenizer.merges())
    writer.add_bos_token_id(a.bos_id)
    writer.add_eos_token_id(a.eos_id)
    writer.add_pad_token_id(a.pad_id)
    if tokenizer.roles.get("unk_token") in tokens:
        writer.add_unk_token_id(tokens.index(tokenizer.roles["unk_token"]))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
