"""Read the quantised tensors back from model.onnx alone."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from smolship.errors import InputError
from smolship.export.onnx.pack import MODEL_FILE
from smolship.export.onnx.packing import unpack_codes
from smolship.export.onnx.weights import CODES, GRID_KEY
from smolship.quantize.blocks import Blocks


def unpack(folder: Path) -> dict[str, Blocks]:
    """The blocks of every `MatMulNBits` and `GatherBlockQuantized` by Hugging Face name, as the operators read them.

    `InputError` if the embedding and the head do not read the same codes, or a weight is not constant.
    """
    model = ir.load(folder / MODEL_FILE)
    found: dict[str, Blocks] = {}
    for node in model.graph.all_nodes():
        if node.op_type not in ("MatMulNBits", "GatherBlockQuantized"):
            continue
        codes_at, scales_at = (1, 2) if node.op_type == "MatMulNBits" else (0, 2)
        codes = node.inputs[codes_at]
        packed = None if codes is None else codes.const_value
        if codes is None or packed is None or not str(codes.name).endswith(CODES):
            raise InputError(f"{MODEL_FILE}: {node.name} multiplies by something that is not a constant of codes")
        name = str(codes.name).removesuffix(CODES)
        if name not in found:
            found[name] = Blocks(
                unpack_codes(packed.numpy(), node.attributes["bits"].as_int()),
                _scales(node.inputs[scales_at]),
                model.metadata_props[GRID_KEY + name],
            )
    return found


def _scales(value: ir.Value | None) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The constant behind the `Cast` and `Reshape` that stand between it and its operator, float32 [out, in/32]."""
    while value is not None and value.const_value is None:
        producer = value.producer()
        value = producer.inputs[0] if producer is not None else None
    if value is None or value.const_value is None:
        raise InputError(f"{MODEL_FILE}: a quantised weight has no constant scales")
    return value.const_value.numpy().astype(np.float32)
