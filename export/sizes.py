"""How large an artefact's files will be, before any is written and without its weights."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from smolship.checkpoint import EMBEDDING, Outline
from smolship.export.formats import Format
from smolship.quantize.fit.sizes import STORAGES, matrices_of, payload
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
    """codes, scales and offsets by grid, of all that activations are multiplied by: a tied embedding, as the head"""
    embedding: int
    """the embedding's: a part of that if it is tied, else beside it"""
    gains: int
    """of the norms, in float32"""
    tied: bool = True

    @property
    def all(self) -> int:
        """All that ships."""
        return self.model + self.others

    @property
    def weights(self) -> int:
        """What computing one token reads: every tensor once, but no more than a row of an embedding that is no head."""
        return sum(self.matrices.values()) + self.gains

    @property
    def tensors(self) -> int:
        """What all tensors take."""
        return self.weights + (0 if self.tied else self.embedding)


def frame_of(model: Outline, line: Format, context: int) -> Frame:
    """The frame of a format's files for a model; a fifth of a second for the real tokenizer."""
    module = line.load_sizes()
    others = sum(len(content) for content in module.companions(model, context).values())
    return Frame(line.name, module.fixed_bytes(model, context), others)


def sizes_under(model: Outline, recipe: Recipe, frame: Frame) -> Sizes:
    """The sizes of a model's files under a recipe; `InputError` if the format cannot hold it, naming the tensor."""
    bytes_of, a = STORAGES[frame.format].bytes_of, model.architecture
    matrices, file, embedding = Counter[str](), frame.model, 0
    for matrix in matrices_of(a):
        grid = grid_of(recipe, matrix.name, matrix.shape[1], frame.format)
        file += bytes_of(matrix, grid)
        if matrix.name == EMBEDDING:
            embedding = payload(matrix.shape, grid)
        if matrix.name != EMBEDDING or matrix.tied:
            matrices[grid.name] += payload(matrix.shape, grid)
    gains = sum(shape[0] * int(FLOAT32_BITS) // 8 for shape in a.shapes().values() if len(shape) == 1)
    return Sizes(file, frame.others, dict(matrices), embedding, gains, a.tied)
