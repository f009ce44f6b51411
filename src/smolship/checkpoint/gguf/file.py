"""A checkpoint that is one GGUF file: dequantised tensor by tensor, q and k back in Hugging Face's row order."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.chat.notes import chat_notes
from smolship.checkpoint.checkpoint import Checkpoint, Outline, Source
from smolship.checkpoint.digest import weights_digest
from smolship.checkpoint.gguf.header import GgufHeader, GgufTensor, read_header
from smolship.checkpoint.gguf.kinds import refuse_other_gguf, refuse_part_by_name
from smolship.checkpoint.gguf.layout import from_gguf_rows, gguf_name, rotary_heads
from smolship.checkpoint.gguf.metadata import read_model
from smolship.checkpoint.head import Matrix, decide_tie
from smolship.checkpoint.licence import licence_of_gguf
from smolship.checkpoint.values import require_finite
from smolship.errors import InputError
from smolship.progress import Progress, Silent

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

_NAMELESS = ("model", "ggml-model")
_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class GgufTensors:
    """Tensors of a memory-mapped GGUF file, dequantised by gguf-py as they are read."""

    path: Path
    architecture: Architecture
    places: dict[str, GgufTensor]
    """by Hugging Face name"""

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32 in Hugging Face's row order; `InputError` names one that is missing or not finite."""
        place = self.places.get(name)
        if place is None:
            raise InputError(f"{self.path.name} has no tensor {name}: ask for one of {self.architecture.layers} layers")
        values = _read_rows(self.path, place)
        return require_finite(name, from_gguf_rows(values, rotary_heads(name, self.architecture)))


def open_gguf(
    path: Path, *, kind: str = "gguf", location: str | None = None, progress: Progress = Silent()
) -> Checkpoint:
    """The checkpoint in a GGUF file; `InputError` if it is cut short, no SmolLM2, or of a type gguf-py cannot read."""
    header = read_header(path)
    outline = _outline(path, header)
    places = _checked_places(path, header, outline.architecture)
    stored_as = _stored_as(places)
    source = Source(
        kind=kind,
        location=location or path.name,
        revision=None,
        sha256=weights_digest([path], progress),
        stored_as=_FLOATS.get(stored_as, stored_as),
        already_quantised=stored_as not in _FLOATS,
    )
    return outline.with_weights(GgufTensors(path, outline.architecture, places), source)


def outline_of_gguf(path: Path) -> Outline:
    """What the header of a GGUF file says of the model; `InputError` as `open_gguf`."""
    return _outline(path, read_header(path))


def _outline(path: Path, header: GgufHeader) -> Outline:
    refuse_other_gguf(path, header)
    tied, heads = _tied(path, header)
    architecture, tokenizer, ids = read_model(header, path.name)
    name, licence = _model_name(path, header), licence_of_gguf(header.metadata)
    notes = (*ids.notes, *chat_notes(tokenizer), *heads)
    return Outline(name, replace(architecture, tied=tied), tokenizer, licence=licence, notes=notes, ends_said=ids.said)


def _tied(path: Path, header: GgufHeader) -> tuple[bool, tuple[str, ...]]:
    """Whether the head is the embedding: llama.cpp multiplies by `output.weight` wherever a file has one.

    llama-quantize gives a file two types for what may have been one matrix before; what they say now differs.
    """
    from gguf import GGMLQuantizationType

    names = gguf_name(EMBEDDING), gguf_name(HEAD)
    places = [header.tensors[name] for name in names if name in header.tensors]
    if len(places) < len(names):
        return names[1] not in header.tensors, ()
    matrices = []
    for name, place in zip(names, places, strict=True):
        _require_readable(path, name, place)
        matrices.append(Matrix(name, place.shape, partial(_read_rows, path, place)))
    tied, notes = decide_tie(False, f"{path.name} has a head of its own", *matrices)
    if not tied and places[0].ggml_type != places[1].ggml_type:
        kinds = [GGMLQuantizationType(place.ggml_type).name for place in places]
        two = f"{path.name} has {names[0]} in {kinds[0]} and {names[1]} in {kinds[1]}: two matrices, as for llama.cpp"
        return tied, (*notes, two)
    return tied, notes


def _checked_places(path: Path, header: GgufHeader, architecture: Architecture) -> dict[str, GgufTensor]:
    """Every tensor of the architecture, of its shape, of a readable type and inside the file, by Hugging Face name."""
    wanted = {gguf_name(name): (name, shape) for name, shape in architecture.shapes().items()}
    places = {}
    for stored_name, (name, shape) in wanted.items():
        place = header.tensors.get(stored_name)
        if place is None:
            refuse_part_by_name(path)
            raise InputError(f"{path.name} has no tensor {stored_name}, which SmolLM2 needs: fetch or convert it again")
        if place.shape != shape:
            raise InputError(
                f"{path.name} holds {stored_name} with shape {list(place.shape)}, its metadata want {list(shape)}: "
                "convert it again from the original checkpoint"
            )
        _require_readable(path, stored_name, place)
        places[name] = place
    extra = sorted(header.tensors.keys() - wanted.keys() - {gguf_name(HEAD)})  # a tied head that is there twice
    if extra:
        raise InputError(
            f"{path.name} holds {', '.join(extra[:3])} beside SmolLM2's tensors, wanted no biases and plain rotary "
            "positions: give a GGUF made from SmolLM2"
        )
    return places


def _require_readable(path: Path, name: str, place: GgufTensor) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    try:
        ggml_type = GGMLQuantizationType(place.ggml_type)
        dequantize(np.zeros((1, _row_bytes(place)), np.uint8).view(_native(ggml_type)), ggml_type)
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"{path.name} stores {name} as GGML type {place.ggml_type} in rows of {place.shape[-1]}, wanted one that "
            "gguf-py turns into floats: give a GGUF of F32, F16, BF16 or a common quantised type such as Q8_0"
        ) from error
    end = place.offset + prod(place.shape[:-1]) * _row_bytes(place)
    size = path.stat().st_size
    if end > size:
        raise InputError(f"{path.name} is truncated: {name} ends at byte {end}, the file has {size}: fetch it again")


def _read_rows(path: Path, place: GgufTensor, rows: slice = slice(None)) -> NDArray[np.float32]:
    """A tensor in GGUF's row order as float32, or some of its rows, which are all that is read."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    ggml_type = GGMLQuantizationType(place.ggml_type)
    shape = (*place.shape[:-1], _row_bytes(place))
    stored = np.memmap(path, np.uint8, "r", place.offset, shape)[rows].view(_native(ggml_type))
    return np.array(dequantize(stored, ggml_type), dtype=np.float32).reshape(-1, *place.shape[1:])


def _native(ggml_type: "GGMLQuantizationType") -> np.dtype[Any]:
    """The dtype gguf-py wants the bytes of this type in."""
    return np.dtype({"F32": "f4", "F16": "f2"}.get(ggml_type.name, "u1"))


def _row_bytes(place: GgufTensor) -> int:
    from gguf import GGMLQuantizationType
    from gguf.quants import quant_shape_to_byte_shape

    return int(quant_shape_to_byte_shape(place.shape, GGMLQuantizationType(place.ggml_type))[-1])


def _stored_as(places: dict[str, GgufTensor]) -> str:
    """The GGML type that most weights of the matrices have."""
    from gguf import GGMLQuantizationType

    weights: Counter[int] = Counter()
    for place in places.values():
        if len(place.shape) == 2:
            weights[place.ggml_type] += prod(place.shape)
    return GGMLQuantizationType(weights.most_common(1)[0][0]).name


def _model_name(path: Path, header: GgufHeader) -> str:
    """`SmolLM2-135M-Instruct` of `SmolLM2-135M-Instruct.Q4_1.gguf`: file names are kept better than `general.name`.

    A file called just `model.gguf` is named by its metadata, made safe for a folder's name.
    """
    from gguf import GGMLQuantizationType

    stem, _, last = path.stem.rpartition(".")
    known = {ggml_type.name for ggml_type in GGMLQuantizationType}
    told = re.sub(r"[^\w-]+", "-", str(header.metadata.get("general.name", ""))).strip("-")
    if path.stem in _NAMELESS and told:
        return told
    return stem if stem and (last.upper() in known or last.upper().startswith("Q")) else path.stem
