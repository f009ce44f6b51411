"""The kit of llama.cpp: its libraries compiled for the device, the binding that drives them, and numpy."""

import hashlib
import shutil
import tempfile
from importlib.metadata import distribution, version
from pathlib import Path

from smolship.cache import cache_folder
from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits.cross_compiler import OLDEST_GLIBC, CrossCompiler, cross_compiler
from smolship.runtime_checks.kits.llama_cpp_build import PACKAGE, build_libraries, recipe
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.kits.wheels import install_wheels
from smolship.runtime_checks.runtimes import runtime_for

MACHINE = "aarch64"
"""the one kind of machine that this is tried on; for x86_64 llama.cpp has thirteen variants, minutes more to compile"""
OLDEST_PYTHON = (3, 11)
"""what this version of numpy asks for, and smolship itself"""
# The package's own `__init__` also imports its `Llama`, and with it jinja2, diskcache and more, which the probe does
# not use. `_ctypes_extensions` imports typing_extensions.
MODULES = ("llama_cpp.py", "_ctypes_extensions.py")
INIT = 'from .llama_cpp import *\n\n__version__ = "{version}"\n'


def contents(platform: Platform) -> str:
    """The versions that run here, so that both machines run the same, and how the libraries are built."""
    _require(platform)
    compiler = cross_compiler(platform.machine)
    return f"{recipe(compiler, version(PACKAGE))}; {binding_contents(platform)}"


def assemble(platform: Platform, folder: Path, progress: Progress) -> None:
    """See `Maker.assemble`."""
    _require(platform)
    shutil.copytree(_libraries(cross_compiler(platform.machine), progress), folder / "lib")
    assemble_binding(platform, folder / "python", progress)


def binding_contents(platform: Platform) -> str:
    """What `assemble_binding` writes, on one line; `InputError` if it would not run on such a device."""
    _require(platform)
    return (
        f"{PACKAGE} {version(PACKAGE)} {MODULES} {INIT!r} typing_extensions {version('typing_extensions')} {_numpy()}"
    )


def assemble_binding(platform: Platform, folder: Path, progress: Progress) -> None:
    """Write all of Python that drives llama.cpp's libraries, wherever these are."""
    _require(platform)
    with progress.task("Fetching numpy"):
        install_wheels([_numpy()], platform, folder)
    _copy_binding(folder)


def command(kit: str, probe: str) -> list[str]:
    """See `Maker.command`."""
    settings = [f"PYTHONPATH={probe}:{kit}/python", f"LLAMA_CPP_LIB_PATH={kit}/lib"]
    return ["env", *settings, "python3", "-m", "probe"]


def _require(platform: Platform) -> None:
    """`InputError` if the kit would not run on such a device, or if this machine lacks what it is made from."""
    runtime_for("gguf").require()
    if platform.machine != MACHINE:
        raise InputError(
            f"llama.cpp is compiled for devices of kind {MACHINE}, and this one is {platform.machine!r}: put a 64-bit "
            "system on a 32-bit ARM board; install smolship itself on a PC, and run `smolship check` there"
        )
    if platform.python is None:
        raise InputError(
            "llama.cpp is driven by the device's own Python, and it has no python3: install one there "
            "(`sudo apt install python3`), or take an ExecuTorch file"
        )
    for name, found, oldest in (("Python", platform.python, OLDEST_PYTHON), ("glibc", platform.glibc, OLDEST_GLIBC)):
        if found < oldest:
            raise InputError(
                f"the device has {name} {_dotted(found)}, and what runs GGUF files there needs {_dotted(oldest)} or "
                "newer: install a newer system on it (Debian 12, Ubuntu 24.04 and Raspberry Pi OS of 2023 have both)"
            )


def _libraries(compiler: CrossCompiler, progress: Progress) -> Path:
    """The folder of the libraries, in the cache: one build serves every Python and C library of a kind of machine."""
    key = hashlib.sha256(recipe(compiler, version(PACKAGE)).encode()).hexdigest()[:16]
    place = cache_folder() / "kits" / f"llama.cpp-{compiler.machine}-{key}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            build_libraries(compiler, version(PACKAGE), made, progress)
            if not place.is_dir():  # somebody else's of the same key is as good
                made.rename(place)
    return place


def _copy_binding(folder: Path) -> None:
    """llama-cpp-python's module of ctypes functions as a package of the same name, without the rest of it."""
    binding = folder / "llama_cpp"
    binding.mkdir()
    for name in MODULES:
        shutil.copy(_installed(PACKAGE, f"llama_cpp/{name}"), binding)
    (binding / "__init__.py").write_text(INIT.format(version=version(PACKAGE)), encoding="utf-8")
    shutil.copy(_installed("typing_extensions", "typing_extensions.py"), folder)


def _installed(package: str, file: str) -> Path:
    return Path(str(distribution(package).locate_file(file)))


def _numpy() -> str:
    return f"numpy=={version('numpy')}"


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
