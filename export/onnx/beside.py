"""The same as `pack`, with the weights in a second file beside the model."""

from pathlib import Path

from smolship.export.onnx.pack import pack as pack_inside
from smolship.export.onnx.unpack import unpack
from smolship.progress import Progress, Silent
from smolship.quantize.model import QuantizedModel

__all__ = ["pack", "unpack"]


def pack(model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
    """Write model.onnx and model.onnx.data, which a runtime maps, and which may have more than 2 GB; see `pack`."""
    pack_inside(model, folder, context, progress, external=True)
