"""What model.gguf holds besides its matrices, in bytes: foreseen exactly, without reading a weight."""

import tempfile
from math import prod
from pathlib import Path

import numpy as np

from smolship.checkpoint import Outline
from smolship.checkpoint.gguf.layout import gguf_name
from smolship.export.gguf.metadata import add_metadata, add_tokenizer
from smolship.export.gguf.pack import MODEL_FILE, companions
from smolship.quantize.fit.sizes import rounded_up

__all__ = ["companions", "fixed_bytes"]

ALIGNMENT = 32
"""bytes that each tensor starts at a multiple of: GGUF's `general.alignment` where a file does not say another"""


def fixed_bytes(model: Outline, context: int) -> int:
    """Header, metadata, the table of tensors and the norms' gains, each padded as in the file.

    A file of these alone is written by the very code that packs, the types of the tensors apart, which are a number of
    four bytes each whatever it is.
    """
    import gguf

    shapes = model.architecture.shapes()
    with tempfile.TemporaryDirectory(prefix="smolship-plan-") as folder:
        path = Path(folder, MODEL_FILE)
        writer = gguf.GGUFWriter(path, "llama")
        add_metadata(writer, model, context, "ALL_F32")
        add_tokenizer(writer, model)
        for name, shape in shapes.items():
            writer.add_tensor_info(gguf_name(name), shape, np.dtype(np.float32), 4 * prod(shape))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        head = path.stat().st_size
    gains = sum(rounded_up(4 * shape[0], ALIGNMENT) for shape in shapes.values() if len(shape) == 1)
    return rounded_up(head, ALIGNMENT) + gains
