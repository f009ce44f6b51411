"""How large an artefact's files will be, before any is written and without its weights."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from smolship.checkpoint import EMBEDDING, Outline
from smolship.export.formats import Format
from smolship.quantize.fit.sizes import STORAGES, payload
from smolship.quantize.formats import grid_of
from smolship.quantize.grids import FLOAT32_BITS
from smolship.quantize.recipes import Recipe


@dataclass(frozen=True)
class Frame:
    """Bytes of a format's files besides the matrices: the same for every recipe."""

    format: str
    model: int
    """in the model file"""
    others: int
    """of the files beside it"""


@dataclass(frozen=True)
class Sizes:
    """Bytes of an artefact, predicted: exact in GGUF, within 1 % in ONNX and ExecuTorch."""

    model: int
    """the model file"""
    others: int
    """the files beside it, the manifest apart"""
    matrices: Mapping[str, int]
    """codes, scales and offsets by grid, the embedding's among them, which is also the head"""
    embedding: int
    """the embedding's part of that"""
    gains: int
    """of the norms, in float32"""

    @property
    def all(self) -> int:
        """All that ships."""
        return self.model + self.others

    @property
    def weights(self) -> int:
        """What computing one token reads: every tensor once, the embedding as head."""
        return sum(self.matrices.values()) + self.gains


def frame_of(model: Outline, line: Format, context: int) -> Frame:
    """The frame of a format's files for a model; a fifth of a second for the real tokenizer."""
    module = line.load_sizes()
    others = sum(len(content) for content in module.companions(model, context).values())
    return Frame(line.name, module.fixed_bytes(model, context), others)


def sizes_under(model: Outline, recipe: Recipe, frame: Frame) -> Sizes:
    """The sizes of a model's files under a recipe; `InputError` if the format cannot hold it, naming the tensor."""
    bytes_of = STORAGES[frame.format].bytes_of
    matrices, file, embedding, gains = Counter[str](), frame.model, 0, 0
    for name, shape in model.architecture.shapes().items():
        if len(shape) == 1:
            gains += shape[0] * int(FLOAT32_BITS) // 8
            continue
        grid, extent = grid_of(recipe, name, shape[1], frame.format), (shape[0], shape[1])
        file += bytes_of(name, extent, grid)
        matrices[grid.name] += payload(extent, grid)
        if name == EMBEDDING:
            embedding = payload(extent, grid)
    return Sizes(file, frame.others, dict(matrices), embedding, gains)
