"""ONNX: Optimum's decoder graph over `MatMulNBits` and `GatherBlockQuantized`, for ONNX Runtime and its clients."""

from smolship.export.onnx.pack import MODEL_FILE, pack
from smolship.export.onnx.unpack import unpack

__all__ = ["MODEL_FILE", "pack", "unpack"]
