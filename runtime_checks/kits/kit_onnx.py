"""The kit of ONNX Runtime: its wheels from the package index, for the device's own Python."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.kits.wheels import install_wheels

PACKAGES = ("numpy", "onnxruntime", "tokenizers")
"""what the probe and its backend import; the packages that these want besides are for what the probe does not use"""


def contents(platform: Platform) -> str:
    """The versions that run here, so that both machines run the same."""
    if platform.python is None:
        raise InputError(
            "ONNX Runtime is driven by the device's own Python, and it has no python3: install one there "
            "(`sudo apt install python3`), or take a GGUF or ExecuTorch file"
        )
    return " ".join(_requirements())


def assemble(platform: Platform, folder: Path, progress: Progress) -> None:
    """See `Maker.assemble`."""
    with progress.task("Fetching wheels", len(PACKAGES)) as advance:
        for requirement in _requirements():
            install_wheels([requirement], platform, folder)
            advance(1)


def command(kit: str, probe: str) -> list[str]:
    """See `Maker.command`."""
    return ["env", f"PYTHONPATH={probe}:{kit}", "python3", "-m", "probe"]


def _requirements() -> Sequence[str]:
    return [f"{name}=={version(name)}" for name in PACKAGES]
