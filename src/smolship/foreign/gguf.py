"""GGUF files of llama.cpp and whoever else writes them: everything that is said of one stands in its header."""

from math import prod
from pathlib import Path

from smolship.artefact import TensorRecord
from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.gguf.header import GgufHeader, GgufTensor, read_header
from smolship.checkpoint.gguf.kinds import refuse_other_gguf
from smolship.checkpoint.gguf.layout import gguf_name
from smolship.checkpoint.gguf.metadata import read_architecture
from smolship.errors import InputError
from smolship.foreign.foreign_file import ForeignFile, choose_context, name_of, shapes_of

MADE_BY = "llama.cpp or another GGUF writer"
_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def open_gguf(path: Path, context: int | None) -> ForeignFile:
    """A GGUF of a Llama model; `InputError` if it is none, one part of several, or cut short."""
    name = name_of(path)
    header = read_header(path)
    refuse_other_gguf(path, header)
    architecture = read_architecture(header, path.name)
    chosen, notes = choose_context(name, architecture.max_positions, context)
    return ForeignFile(
        name=name,
        folder=path.parent,
        format="gguf",
        made_by=MADE_BY,
        model_file=path.name,
        context=chosen,
        shapes=shapes_of(architecture),
        coverage=_coverage(path, header, architecture),
        notes=notes,
    )


def _coverage(path: Path, header: GgufHeader, architecture: Architecture) -> tuple[TensorRecord, ...]:
    """A line for each tensor: its GGML type, under the name it has in a checkpoint if it has one there."""
    names = {gguf_name(name): name for name in architecture.shapes()}
    size = path.stat().st_size
    return tuple(_line(path, names.get(name, name), place, size) for name, place in header.tensors.items())


def _line(path: Path, name: str, place: GgufTensor, size: int) -> TensorRecord:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        kind = GGMLQuantizationType(place.ggml_type)
    except ValueError as error:
        raise InputError(
            f"{path.name} stores {name} as GGML type {place.ggml_type}, which gguf-py does not know: "
            "give a file of a common type"
        ) from error
    block, block_bytes = GGML_QUANT_SIZES[kind]
    end = place.offset + prod(place.shape) // block * block_bytes
    if end > size:
        raise InputError(f"{path.name} is cut short: {name} ends at byte {end}, the file has {size}: fetch it again")
    return TensorRecord(
        tensor=name,
        shape=place.shape,
        grid=_FLOATS.get(kind.name, kind.name),
        bits_per_weight=block_bytes * 8 / block,
        relative_error=None,
    )
