"""Read the quantised tensors back from `model.gguf` alone."""

from functools import partial
from pathlib import Path

import numpy as np

from smolship.checkpoint.gguf.header import read_header
from smolship.checkpoint.gguf.layout import from_gguf_rows, gguf_name, rotary_heads
from smolship.checkpoint.gguf.metadata import read_architecture
from smolship.export.gguf.pack import MODEL_FILE
from smolship.export.gguf.types import TYPES
from smolship.quantize import Blocks


def unpack(folder: Path) -> dict[str, Blocks]:
    """The quantised tensors of `model.gguf` in Hugging Face names and row order; grids are told from the file alone."""
    import gguf

    header = read_header(folder / MODEL_FILE)
    architecture = read_architecture(header, MODEL_FILE)
    data = np.memmap(folder / MODEL_FILE, np.uint8, "r")
    blocks = {}
    for name, shape in architecture.shapes().items():
        if len(shape) == 1:
            continue
        place = header.tensors[gguf_name(name)]
        type_ = gguf.GGMLQuantizationType(place.ggml_type)
        block, size = gguf.GGML_QUANT_SIZES[type_]
        end = place.offset + shape[0] * shape[1] // block * size
        unpacked = TYPES[type_.name].unpack(data[place.offset : end].reshape(shape[0], -1))
        heads = rotary_heads(name, architecture)
        blocks[name] = unpacked.with_rows(partial(from_gguf_rows, heads=heads))
    return blocks
