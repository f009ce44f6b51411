"""`Checkpoint`: a SmolLM2 model at rest."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.token_ids import Stated
from smolship.checkpoint.tokenizer import Tokenizer


class TensorSource(Protocol):
    """Tensors read one at a time from a memory-mapped file, under their Hugging Face names and in its row order."""

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32 in its Hugging Face shape; `InputError` names one that is missing or not finite."""
        ...


@dataclass(frozen=True)
class Source:
    """Where a checkpoint came from."""

    kind: str
    """`hub`, `folder`, `gguf` or `embedded`"""
    location: str
    """the hub id, or the file or folder name without its machine's path"""
    revision: str | None
    sha256: str
    """of the weights: one file's digest, or the digest of the sorted `name digest` lines of several"""
    stored_as: str
    """the storage of the matrices: `float32`, `bfloat16`, `float16`, or a GGUF type such as `Q4_1`"""
    already_quantised: bool
    """the weights already lie on a low-bit grid, so figures of files made from them flatter that grid"""
    adapter: "AdapterSource | None" = None
    """of a LoRA adapter, which the rest of this names; `stored_as` and `already_quantised` are then its base's"""


@dataclass(frozen=True)
class AdapterSource:
    """What a LoRA adapter was merged into."""

    sha256: str
    """of the adapter alone, its config and weights; the `Source`'s is of both models together"""
    base: Source


@dataclass(frozen=True)
class Outline:
    """A model without its weights: all that says how large its files will be."""

    name: str
    architecture: Architecture
    tokenizer: Tokenizer
    licence: str | None = field(default=None, kw_only=True)
    """as the checkpoint itself names it; `None` if it does not, and then no file does"""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """a sentence for each thing that was forgiven, and for each fact that two places state differently"""
    ends_said: tuple[Stated, ...] = field(default=(), kw_only=True)
    """what each place says ends an answer"""

    @property
    def is_instruct(self) -> bool:
        """Whether it talks: it has a chat template that renders what a user says. Base models have none."""
        return self.tokenizer.talks

    def with_weights(self, tensors: TensorSource, source: Source, notes: tuple[str, ...] = ()) -> "Checkpoint":
        """The whole checkpoint; `notes` are of its weights."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return Checkpoint(**said | {"notes": (*self.notes, *notes)}, tensors=tensors, source=source)

    @cached_property
    def definition(self) -> str:
        """The sha256 of what is said of the model beside its weights: numbers, ids, tokenizer, template, licence."""
        files = {name: data.decode() for name, data in self.tokenizer.files().items()}
        said = {"architecture": asdict(self.architecture), "licence": self.licence, "files": files}
        said |= {"pre": self.tokenizer.pre}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint(Outline):
    """Config, tokenizer and tensors of one model; opening it reads no weights into memory."""

    tensors: TensorSource
    source: Source

    @cached_property
    def identity(self) -> str:
        """The sha256 of the weights and of all that is said beside them: what decides every result."""
        return hashlib.sha256(f"{self.source.sha256} {self.definition}".encode()).hexdigest()
