"""The formats as a literal table; a format's module, whose libraries are heavy, is imported when it is used."""

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from smolship.checkpoint import Outline
from smolship.errors import InputError, unknown_name
from smolship.progress import Progress, Silent
from smolship.quantize import Blocks, QuantizedModel
from smolship.quiet import quiet

if TYPE_CHECKING:
    from smolship.export.executorch.backends import Backend


class FormatModule(Protocol):
    """What a format's module offers."""

    def pack(self, model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
        """Write every file of the format into an empty `folder`, the same bytes for the same model."""

    def unpack(self, folder: Path) -> dict[str, Blocks]:
        """Every quantised tensor read back from the model file alone, in Hugging Face names and row order."""


class SizeModule(Protocol):
    """What says how large a format's files will be; it imports nothing that packing needs."""

    def fixed_bytes(self, model: Outline, context: int) -> int:
        """What the model file holds besides its matrices, for every recipe the same or nearly so."""

    def companions(self, model: Outline, context: int) -> dict[str, bytes]:
        """The files beside the model file, by name."""


@dataclass(frozen=True)
class Format:
    """One line of the table."""

    name: str
    title: str
    model_file: str
    module: str
    """a `FormatModule`"""
    size_module: str
    """a `SizeModule`"""
    extra: str
    """the extra of this package that installs what the format needs"""
    needs: tuple[str, ...]
    """the modules that packing imports; the extra brings them, and gguf comes with smolship itself"""
    distributions: tuple[str, ...]
    """the packages whose versions decide the bytes of the files"""
    beside: str | None = None
    """a `FormatModule` that writes the weights into a second file beside the model, where the format can"""
    most_ends: int | None = None
    """how many tokens that end an answer its files have room for, where that is limited"""

    backends: str | None = None
    """the module with the table of backends that a file can be lowered to, where the format leaves that open"""
    backend: "Backend | None" = None
    """the backend that this line lowers to, if it is not the one that runs everywhere"""

    @property
    def label(self) -> str:
        """The name, and the backend's if the line has one: what tells its folder from the format's own."""
        return self.name if self.backend is None else f"{self.name}-{self.backend.name}"

    @property
    def weights_beside(self) -> bool:
        """Whether this line writes them so."""
        return self.module == self.beside

    def with_weights_beside(self) -> "Format":
        """The line that writes weights beside the model; `InputError` if the format is one file."""
        if self.beside is None:
            raise InputError(f"{self.title} is one file: only {_titles_beside()} can have its weights in a second one")
        return replace(self, module=self.beside)

    def with_backend(self, name: str) -> "Format":
        """The line that lowers to the backend of that name; `InputError` if it is unknown or the format has none."""
        if self.backends is None:
            raise InputError(
                f"--backend {name}: {self.title} files have no backends, only {_titles_of_backends()} files do: "
                f"give that --format alone"
            )
        backend = cast("Backend", import_module(self.backends).backend_named(name))
        if backend.runs_here:
            return self
        return replace(
            self,
            module=backend.module,
            needs=(*self.needs, *backend.needs),
            distributions=(*self.distributions, *backend.distributions),
            backend=backend,
        )

    def refusal(self, model: Outline) -> str | None:
        """Why files of this format cannot say what the checkpoint says, in a sentence; `None` if they can."""
        ends = model.architecture.end_ids
        if self.most_ends is None or len(ends) <= self.most_ends:
            return None
        return (
            f"{model.name} ends an answer at {len(ends)} tokens and {self.title} files have room for {self.most_ends}: "
            "list fewer as eos_token_id in its generation_config.json"
        )

    def require(self) -> None:
        """`InputError` names what is missing of `needs` and `distributions`, and the extra that brings it."""
        missing = [name for name in self.needs if find_spec(name) is None]
        missing += [name for name in self.distributions if name.replace("-", "_") not in missing and not _there(name)]
        if missing:
            raise InputError(
                f"{self.title} files need {', '.join(missing)}, which is not installed here: "
                f"pip install 'smolship[{self.extra}]'"
            )

    def versions(self) -> dict[str, str]:
        """The installed version of each of `distributions`; `InputError` as `require`."""
        self.require()
        return {name: version(name) for name in self.distributions}

    def load(self) -> FormatModule:
        """Import the format's module; `InputError` as `require`."""
        self.require()
        with quiet():  # torchao, imported by ExecuTorch, prints what it could not load
            return cast(FormatModule, import_module(self.module))

    def load_sizes(self) -> SizeModule:
        """Import the module that foresees sizes, whatever is installed."""
        return cast(SizeModule, import_module(self.size_module))


FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format(
            "gguf",
            "GGUF",
            "model.gguf",
            "smolship.export.gguf",
            "smolship.export.gguf.size",
            "gguf",
            ("gguf",),
            ("gguf", "numpy"),
            most_ends=3,
        ),
        Format(
            "onnx",
            "ONNX",
            "model.onnx",
            "smolship.export.onnx",
            "smolship.export.onnx.size",
            "onnx",
            ("onnx", "onnx_ir", "optimum", "torch", "transformers"),
            ("numpy", "onnx", "onnx-ir", "optimum", "optimum-onnx", "torch", "transformers"),
            "smolship.export.onnx.beside",
        ),
        Format(
            "executorch",
            "ExecuTorch",
            "model.pte",
            "smolship.export.executorch",
            "smolship.export.executorch.size",
            "executorch",
            ("executorch", "flatbuffers", "torch", "torchao"),
            ("executorch", "flatbuffers", "numpy", "torch", "torchao"),
            backends="smolship.export.executorch.backends",
        ),
    )
}


def format_named(name: str) -> Format:
    """The format of that name; `InputError` lists the known ones."""
    if name not in FORMATS:
        raise unknown_name("format", name, list(FORMATS))
    return FORMATS[name]


def _titles_beside() -> str:
    return ", ".join(line.title for line in FORMATS.values() if line.beside)


def _titles_of_backends() -> str:
    return ", ".join(line.title for line in FORMATS.values() if line.backends)


def _there(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
