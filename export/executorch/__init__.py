"""ExecuTorch: one `.pte` file for the XNNPACK delegate, from the same integers as every other format."""

from smolship.export.executorch.pack import pack
from smolship.export.executorch.unpack import unpack

__all__ = ["pack", "unpack"]
