"""The kit for a device that has llama.cpp itself: the binding that drives its libraries, and numpy."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution, version
from pathlib import Path

from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits import kit_gguf
from smolship.runtime_checks.kits.llama_cpp_build import PACKAGE
from smolship.runtime_checks.kits.platform import Platform

# These two functions take no structure: they can be asked before it is known whether the library's are laid out as the
# binding thinks. Older libraries have no such functions. The version alone says little: it stays for many commits.
_BUILD = """\
import ctypes, sys
def told(library, name):
    function = getattr(library, name, None)
    if function is None:
        return "unknown"
    function.restype = ctypes.c_char_p
    return (function() or b"unknown").decode("ascii", "replace")
library = ctypes.CDLL(sys.argv[1])
print(told(library, "llama_version"), told(library, "ggml_commit"))
"""
INSTALLED_SCRIPT = f"""
for name in llama-cli llama-server llama-bench; do
    program=$(command -v "$name") && break
done
say program "$program"
[ -z "$program" ] || for folder in $(ldd "$program" | sed -n 's|.*=> \\(/.*\\)/libllama\\.so.*|\\1|p'); do
    say folder "$folder"
    say build "$(python3 -c '{_BUILD}' "$folder/libllama.so" 2>/dev/null)"
done
"""
"""for `targets.asking.ask`: where a device's own llama.cpp is, its libraries, and which build they are"""


def contents(platform: Platform) -> str:
    """What the binding is made of; nothing is compiled."""
    return kit_gguf.binding_contents(platform)


def assemble(platform: Platform, folder: Path, progress: Progress) -> None:
    """See `Maker.assemble`."""
    kit_gguf.assemble_binding(platform, folder / "python", progress)


def command(kit: str, probe: str) -> list[str]:
    """See `Maker.command`; where the libraries are is for `LLAMA_CPP_LIB_PATH` of the environment to say."""
    return ["env", f"PYTHONPATH={probe}:{kit}/python", "python3", "-m", "probe"]


def installed_libraries(told: Mapping[str, str]) -> str:
    """The folder of a device's own libraries, for `LLAMA_CPP_LIB_PATH`, from what it told to `INSTALLED_SCRIPT`.

    `InputError` if it has none, or of another build than the binding here is written for: structures that are handed
    over change from one to the next, and a wrong one is a crash or, worse, a wrong figure.
    """
    if not told.get("program"):
        raise InputError(
            "the device has no llama-cli, llama-server or llama-bench on its PATH: leave out --use-installed"
        )
    if not told.get("folder"):
        raise InputError(
            f"the device's {told['program']} has llama.cpp inside, not as shared libraries, and only these can be "
            "driven: leave out --use-installed"
        )
    ours, theirs = _build_here(), told.get("build", "")
    if "unknown" in ours or ours.removesuffix("-dirty") != theirs.removesuffix("-dirty"):
        raise InputError(
            f"the device's llama.cpp is another build ({theirs or 'it does not say which'}) than the one that "
            f"{PACKAGE} {version(PACKAGE)} drives ({ours}): leave out --use-installed"
        )
    return told["folder"]


def _build_here() -> str:
    """Version and commit of this machine's llama.cpp, told by its library in a process of its own."""
    library = distribution(PACKAGE).locate_file("llama_cpp/lib/libllama.so")
    asked = [sys.executable, "-c", _BUILD, str(library)]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
