"""`Artefact`: a folder that can be shipped.

What is measured later stands in `measurements.json` and in the model card, `README.md`, outside the manifest and its
hashes.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from pydantic import ValidationError

from smolship.artefact.files import sha256_of
from smolship.artefact.manifest import MANIFEST_FILE, Manifest
from smolship.errors import InputError


@dataclass(frozen=True)
class Foreign:
    """What is said of a file made elsewhere, which no `manifest.json` says."""

    made_by: str
    """what writes such files, in words"""
    parameters: int
    """of the checkpoint it is held against"""
    model_bytes: int
    """size of the model file and its external data, whatever that is called"""
    notes: tuple[str, ...]
    """what was chosen for it and what is not known of it, a sentence each"""


@dataclass(frozen=True)
class Artefact:
    """An artefact's folder and its manifest; of a file made elsewhere, a manifest that was never written."""

    folder: Path
    manifest: Manifest
    foreign: Foreign | None = None
    """`None` for what this tool made; nothing is ever written beside what it did not make"""

    @property
    def is_ours(self) -> bool:
        """Whether this tool made it."""
        return self.foreign is None

    @property
    def format(self) -> str:
        """A key of the table of formats."""
        return self.manifest.format

    @property
    def name(self) -> str:
        """What messages call it: its folder's name, or the name by which a file made elsewhere goes."""
        return self.folder.name if self.foreign is None else self.manifest.recipe

    @property
    def made_by(self) -> str:
        """What wrote it."""
        return "smolship" if self.foreign is None else self.foreign.made_by

    @property
    def parameters(self) -> int:
        """How many weights the model has, the tied embedding counted once."""
        if self.foreign is not None:
            return self.foreign.parameters
        return sum(prod(tensor.shape) for tensor in self.manifest.coverage)

    @property
    def model_bytes(self) -> int:
        """Size of the model's own files."""
        return self.manifest.model_bytes if self.foreign is None else self.foreign.model_bytes

    @property
    def model_path(self) -> Path:
        """The model file."""
        return self.folder / self.manifest.model_file

    @classmethod
    def open(cls, folder: Path) -> "Artefact":
        """Read the manifest of `folder`; `InputError` if there is none or it is not one of ours."""
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise InputError(f"{folder} has no {MANIFEST_FILE}: give a folder that `smolship build` wrote")
        try:
            return cls(folder, Manifest.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(
                f"{path} is not a manifest this version reads ({where}: {first['msg']}): build it again"
            ) from None

    def verify(self) -> None:
        """Compare every file with the manifest's size and sha256; `InputError` names the first that differs."""
        for record in self.manifest.files:
            path = self.folder / record.path
            if not path.is_file():
                raise InputError(f"{path} is missing, though {MANIFEST_FILE} lists it: build the artefact again")
            if path.stat().st_size != record.bytes or sha256_of(path) != record.sha256:
                raise InputError(
                    f"{path} is not the file that {MANIFEST_FILE} lists (its bytes differ): build it again"
                )
