"""Write `model.gguf` and Ollama's `Modelfile`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import Outline
from smolship.checkpoint.gguf.layout import gguf_name, rotary_heads, to_gguf_rows
from smolship.export.gguf.metadata import add_metadata, add_tokenizer, file_type_of
from smolship.export.gguf.types import type_of
from smolship.export.ollama import modelfile
from smolship.progress import Progress, Silent
from smolship.quantize import QuantizedModel

MODEL_FILE = "model.gguf"


def pack(model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
    """Write `model.gguf` and Ollama's `Modelfile` into `folder`; `context` tokens is the context length in both."""
    import gguf

    checkpoint = model.checkpoint
    writer = gguf.GGUFWriter(folder / MODEL_FILE, "llama")
    add_metadata(writer, checkpoint, context, file_type_of(model))
    add_tokenizer(writer, checkpoint)
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
    for name, content in companions(checkpoint, context).items():
        (folder / name).write_bytes(content)


def companions(model: Outline, context: int) -> dict[str, bytes]:
    """The files beside the model file, by name."""
    return {"Modelfile": modelfile(model, MODEL_FILE, context).encode()}


def _payload(model: QuantizedModel, name: str) -> tuple[NDArray[Any], str | None]:
    """A tensor as it lies in the file, and its GGUF type (`None` is float32)."""
    if name in model.vectors():
        return model.floats(name), None
    blocks = model.blocks(name, "gguf")
    tensor_type = type_of(name, blocks.grid)
    raw = tensor_type.pack(blocks)
    heads = rotary_heads(name, model.checkpoint.architecture)
    return raw if heads is None else np.ascontiguousarray(to_gguf_rows(raw, heads)), tensor_type.name
