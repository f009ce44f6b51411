"""The runtimes as a literal table: which probe backend runs a format's files, and what has to be installed for it."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from smolship.artefact import Manifest
from smolship.errors import InputError, unknown_name


@dataclass(frozen=True)
class Runtime:
    """One line of the table."""

    format: str
    title: str
    backend: str
    """the module of the probe that drives it"""
    distributions: tuple[str, ...]
    """the packages that must be there"""
    extra: str
    """the extra of this package that brings them"""
    apart: float = 0.002
    """nats of KL divergence that one file may be on a device from what it is on this host"""
    near_tie: float = 0.5
    """nats within which two tokens count as equally likely when the two are compared"""

    def versions(self) -> dict[str, str | None]:
        """The installed version of each distribution; `None` for one that is missing."""
        return {name: _installed(name) for name in self.distributions}

    def require(self) -> None:
        """`InputError` with the command to install what is missing."""
        missing = [name for name, found in self.versions().items() if found is None]
        if missing:
            raise InputError(
                f"running {self.format} files needs {', '.join(missing)}, which is not installed here: "
                f"pip install 'smolship[{self.extra}]'"
            )


RUNTIMES: dict[str, Runtime] = {
    runtime.format: runtime
    for runtime in (
        Runtime("gguf", "llama.cpp", "backend_gguf", ("llama-cpp-python",), "gguf"),
        Runtime("onnx", "ONNX Runtime", "backend_onnx", ("onnxruntime", "tokenizers"), "onnx"),
        Runtime(
            "executorch",
            "ExecuTorch",
            "backend_executorch",
            ("executorch", "pytorch-tokenizers", "torch"),
            "executorch",
            # It quantises activations by rows, so roundings weigh more: AVX-512, AVX2 and SSE are 0.014 to 0.019 nats
            # apart on one x86-64, Cortex-A76 0.018 from them (q4-e8 of 135M; docs/decisions.md).
            apart=0.05,
            near_tie=1.0,
        ),
    )
}


def runtime_for(format_name: str) -> Runtime:
    """The runtime of a format; `InputError` lists the known formats."""
    if format_name not in RUNTIMES:
        raise unknown_name("format", format_name, list(RUNTIMES))
    return RUNTIMES[format_name]


def runtime_of(manifest: Manifest) -> Runtime:
    """The runtime of an artefact; `InputError` if its backend is one that no host has."""
    if manifest.backend is not None:
        raise InputError(f"{manifest.backend.not_run}: give an artefact built without --backend")
    return runtime_for(manifest.format)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
