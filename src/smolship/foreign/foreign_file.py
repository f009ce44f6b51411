"""`ForeignFile`: a model file made elsewhere, before anybody has said which checkpoint it was made from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path

from smolship.artefact import Artefact, FileRecord, Foreign, Manifest, SourceRecord, TensorRecord, sha256_of
from smolship.checkpoint import Architecture, Checkpoint
from smolship.errors import InputError

CONTEXT = 2048
"""tokens that a file made elsewhere is checked with, where it takes more and nobody asks for more"""
TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILES = ("tokenizer_config.json", "chat_template.jinja")
"""where a chat template may stand, beside the tokenizer"""
_NAMELESS = ("model", "ggml-model")


@dataclass(frozen=True)
class ForeignFile:
    """What a file says of itself; paths are relative to `folder`."""

    name: str
    folder: Path
    format: str
    made_by: str
    model_file: str
    context: int
    """tokens it is to be checked with, at most what it takes"""
    shapes: Mapping[str, int]
    """numbers of the model, by the names that `Architecture` has for them: as many as the file tells"""
    coverage: tuple[TensorRecord, ...] = ()
    data_files: tuple[str, ...] = ()
    """the model's external data"""
    other_files: tuple[str, ...] = ()
    """what the runtime needs besides"""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def bound_to(self, checkpoint: Checkpoint) -> Artefact:
        """The artefact, with a manifest that is never written; every file is read once, for its sha256.

        `InputError` names both if the file is a model of other shapes than the checkpoint.
        """
        self._require_same_shapes(checkpoint)
        own = (self.model_file, *self.data_files)
        files = tuple(_file(self.folder, path) for path in (*own, *self.other_files))
        model_bytes = sum(file.bytes for file in files[: len(own)])
        parameters = checkpoint.architecture.parameters
        stored = sum(prod(line.shape) * line.bits_per_weight for line in self.coverage)
        manifest = Manifest(
            source=SourceRecord(
                name=checkpoint.name,
                instruct=checkpoint.is_instruct,
                licence=checkpoint.licence,
                **asdict(checkpoint.source),
            ),
            format=self.format,
            recipe=self.name,
            rounding="made elsewhere",
            context=self.context,
            model_file=self.model_file,
            bits_per_weight=(stored or model_bytes * 8) / parameters,
            versions=dict(self.versions),
            files=files,
            coverage=self.coverage,
        )
        return Artefact(self.folder, manifest, Foreign(self.made_by, parameters, model_bytes, self.notes))

    def _require_same_shapes(self, checkpoint: Checkpoint) -> None:
        for name, found in self.shapes.items():
            wanted = getattr(checkpoint.architecture, name)
            if found != wanted:
                raise InputError(
                    f"{self.name} is a model with {_WORDS[name]} {found}, and {checkpoint.name} has {wanted}: "
                    "give the checkpoint that the file was made from with --checkpoint"
                )


_WORDS = {
    "vocabulary": "a vocabulary of",
    "hidden": "a hidden size of",
    "intermediate": "an intermediate size of",
    "layers": "a number of layers of",
    "heads": "a number of heads of",
    "kv_heads": "a number of key-value heads of",
    "head_dim": "a head dimension of",
}
SHAPES = tuple(_WORDS)
"""what files of different models differ in"""


def shapes_of(architecture: Architecture) -> dict[str, int]:
    """Every number of `SHAPES`."""
    return {name: getattr(architecture, name) for name in SHAPES}


def name_of(model: Path) -> str:
    """The name that a file goes by: its own, or its folder's if it is just called `model`."""
    return model.resolve().parent.name if model.stem in _NAMELESS else model.stem


def choose_context(name: str, taken: int, asked: int | None) -> tuple[int, tuple[str, ...]]:
    """The tokens to check a file with that takes so many, and a note if that is less; `InputError` if it is more."""
    if asked is not None and asked > taken:
        raise InputError(f"{name} takes {taken} tokens and --context asks for {asked}: give at most {taken}")
    chosen = asked or min(taken, CONTEXT)
    if chosen == taken:
        return chosen, ()
    return chosen, (f"it was checked with a context of {chosen} tokens; the file takes {taken}",)


def tokenizer_files(folder: Path, name: str) -> tuple[str, ...]:
    """The tokenizer's file and those that may hold a chat template; `InputError` if the first is not there."""
    if not (folder / TOKENIZER_FILE).is_file():
        raise InputError(
            f"{name} has no {TOKENIZER_FILE} beside it in {folder}, and its runtime needs one: put it there"
        )
    return (TOKENIZER_FILE, *(file for file in TEMPLATE_FILES if (folder / file).is_file()))


def require_files(folder: Path, files: Sequence[str], name: str) -> None:
    """`InputError` names the first of a model's files that is missing or lies outside of its folder."""
    for file in files:
        if not (folder / file).is_file() or ".." in Path(file).parts or Path(file).is_absolute():
            raise InputError(f"{name} needs {file}, which is not in {folder}: put the whole model there")


def _file(folder: Path, path: str) -> FileRecord:
    place = folder / path
    return FileRecord(path=path, bytes=place.stat().st_size, sha256=sha256_of(place))
