"""The kit of ExecuTorch: its libraries from the wheel for the device, and the probe in C++ compiled against them.

The wheel's Python binding imports torch; its libraries do not, so nothing of Python is needed on the device.
"""

import hashlib
import shutil
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits.cross_compiler import OLDEST_GLIBC, CrossCompiler, cross_compiler, run_tool
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.kits.sources import fetch_source
from smolship.runtime_checks.kits.wheels import fetch_wheel
from smolship.runtime_checks.runtimes import runtime_for

PACKAGE = "executorch"
LIBRARIES = (
    "libexecutorch.so",
    "libexecutorch_threadpool.so",
    "libexecutorch_kernels_optimized.so",
    "libexecutorch_kernels_quantized.so",
    "libexecutorch_backend_xnnpack.so",
)
"""of the wheel's: the probe's CMakeLists.txt links the first two, and its program.cpp loads the others"""
JSON_PACKAGE, JSON_VERSION = "llama-cpp-python", "0.3.36"
JSON_HEADER = "vendor/llama.cpp/vendor/nlohmann/json.hpp"
"""nlohmann's JSON library is one header, and this source distribution carries it"""
FLAGS = "-g0"  # zig's default is debugging information
OPTIONS = ("CMAKE_BUILD_TYPE=Release", "CMAKE_EXE_LINKER_FLAGS=-s")
PROBE = "bin/probe"


def contents(platform: Platform) -> str:
    """The version that runs here, so that both machines run the same, and all that the probe is compiled from."""
    compiler = _compiler(platform)
    digest = hashlib.sha256()
    for path in sorted(_sources().iterdir()):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    made_with = f"zig {compiler.version} {compiler.target} {FLAGS} {' '.join(OPTIONS)}"
    packages = f"{_requirement()} {' '.join(LIBRARIES)}; {JSON_PACKAGE} {JSON_VERSION} {JSON_HEADER}"
    return f"{packages}; {made_with}; probe_cpp {digest.hexdigest()}"


def assemble(platform: Platform, folder: Path, progress: Progress) -> None:
    """See `Maker.assemble`."""
    compiler = _compiler(platform)
    with tempfile.TemporaryDirectory(prefix="smolship-executorch-") as place:
        work = Path(place)
        with progress.task("Fetching ExecuTorch's libraries"):
            package = _fetch_package(platform, work)
        with progress.task("Fetching the JSON library's source"):
            json = fetch_source(JSON_PACKAGE, JSON_VERSION, JSON_HEADER, work)
        probe = _build(compiler, package, json, work, progress)
        (folder / PROBE).parent.mkdir()
        shutil.copy(probe, folder / PROBE)
        (folder / "lib").mkdir()
        for name in LIBRARIES:
            shutil.copy(package / "lib" / name, folder / "lib")


def command(kit: str, probe: str) -> list[str]:  # noqa: ARG001  (other kits' probe is the Python one)
    """See `Maker.command`; the Python probe is not needed there."""
    return [f"{kit}/{PROBE}"]


def _compiler(platform: Platform) -> CrossCompiler:
    """`InputError` if the kit would not run on such a device, or if this machine lacks what it is made with."""
    runtime_for("executorch").require()
    if platform.glibc < OLDEST_GLIBC:
        found, oldest = (".".join(map(str, numbers)) for numbers in (platform.glibc, OLDEST_GLIBC))
        raise InputError(
            f"the device has glibc {found}, and ExecuTorch's libraries need {oldest} or newer: install a newer system "
            "on it (Debian 10, Ubuntu 20.04 and every newer one have it)"
        )
    return cross_compiler(platform.machine)


def _sources() -> Path:
    return Path(str(files("smolship.runtime_checks") / "probe_cpp"))


def _requirement() -> str:
    return f"{PACKAGE}=={version(PACKAGE)}"


def _fetch_package(platform: Platform, work: Path) -> Path:
    """The package's folder of the device's wheel, with its headers and libraries."""
    here = (sys.version_info.major, sys.version_info.minor)  # any would do: what is taken is not for Python
    with ZipFile(fetch_wheel(_requirement(), replace(platform, python=here), work)) as wheel:
        for name in wheel.namelist():
            if name.startswith((f"{PACKAGE}/include/", f"{PACKAGE}/lib/")):
                wheel.extract(name, work)
    return work / PACKAGE


def _build(compiler: CrossCompiler, package: Path, json: Path, work: Path, progress: Progress) -> Path:
    """The probe's program."""
    flags = f"{FLAGS} -ffile-prefix-map={work}=. -ffile-prefix-map={_sources()}=probe"  # checks name their files
    settings = [f"EXECUTORCH={package}", f"EXECUTORCH_VERSION={version(PACKAGE)}", f"JSON={json.parents[1]}"]
    options = [*OPTIONS, *settings, f"CMAKE_CXX_FLAGS={flags}"]
    build, environment = work / "build", compiler.environment(work / "zig")
    for tool in (
        compiler.configure_command(_sources(), build, options),
        compiler.build_command(build, "probe"),
    ):
        run_tool(f"Compiling the probe for {compiler.machine}", tool, environment, progress)
    return build / "probe"
