"""llama.cpp's shared libraries for a device, with a CPU backend for each kind of its processors.

Which backend runs is decided there, by llama.cpp, when they are loaded: a single one for dot products ends with an
illegal instruction on a Cortex-A72.
"""

import tempfile
from pathlib import Path

from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits.cross_compiler import CrossCompiler, run_tool
from smolship.runtime_checks.kits.sources import fetch_source

PACKAGE = "llama-cpp-python"
"""its source distribution carries the llama.cpp that its binding is written for"""
SOURCE = "vendor/llama.cpp"
OPTIONS = (
    "CMAKE_BUILD_TYPE=Release",
    "BUILD_SHARED_LIBS=ON",
    "GGML_BACKEND_DL=ON",
    "GGML_CPU_ALL_VARIANTS=ON",
    "GGML_NATIVE=OFF",
    "GGML_OPENMP=OFF",  # libgomp is no part of a bare system
    "GGML_CCACHE=OFF",
    "LLAMA_ALL_WARNINGS=OFF",
    "LLAMA_BUILD_COMMON=OFF",
    "LLAMA_BUILD_TOOLS=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_SERVER=OFF",
    "LLAMA_BUILD_APP=OFF",
    "LLAMA_BUILD_COMMIT=unknown",  # else that of whatever git repository the build lies in
    "GGML_BUILD_COMMIT=unknown",
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",  # one file a library, no links: an archive holds each once
    "CMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "CMAKE_INSTALL_RPATH=$ORIGIN",
    "CMAKE_SHARED_LINKER_FLAGS=-s",
    "CMAKE_MODULE_LINKER_FLAGS=-s",
)
FLAGS = "-g0"  # zig's default is debugging information: a fifth of the time and five sixths of the bytes
CHANGES = {
    # zig takes LLVM's names of processors and features, in -mcpu, and refuses every -march of ARM.
    "ggml/src/ggml-cpu/CMakeLists.txt": {
        '"-march=${ARM_MCPU}': '"-mcpu=${ARM_MCPU}',
        'set(ARM_MCPU "armv8-a")': 'set(ARM_MCPU "generic")',
        'set(ARM_MCPU "armv8.2-a")': 'set(ARM_MCPU "generic+v8_2a")',
        'set(ARM_MCPU "armv8.6-a")': 'set(ARM_MCPU "generic+v8_6a")',
        '"${ARCH_TAGS}+fp16"': '"${ARCH_TAGS}+fullfp16"',
    },
    # The variants for SME have no code for it but a line that says so, and are a fifth of the whole build: a processor
    # with SME takes armv8.6's.
    "ggml/src/CMakeLists.txt": {
        "\n            ggml_add_cpu_backend_variant(armv9.2_": "\n            # (armv9.2_",
    },
}
"""by file: what is replaced by what, everywhere in it"""


def recipe(compiler: CrossCompiler, version: str) -> str:
    """All that decides the bytes of the libraries, on one line."""
    return f"{PACKAGE} {version}; zig {compiler.version} {compiler.target} {FLAGS} {' '.join(OPTIONS)}; {CHANGES}"


def build_libraries(compiler: CrossCompiler, version: str, folder: Path, progress: Progress) -> None:
    """Compile the llama.cpp of a version of llama-cpp-python and put its libraries, stripped, into `folder`.

    `InputError` if pip cannot fetch the sources, or with the compiler's words if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="smolship-llama.cpp-") as place:
        work = Path(place)
        with progress.task("Fetching llama.cpp's sources"):
            source = fetch_source(PACKAGE, version, f"{SOURCE}/", work)
            _change(source)
        flags = f"{FLAGS} -ffile-prefix-map={source}=llama.cpp"  # asserts name their files
        options = [*OPTIONS, f"CMAKE_C_FLAGS={flags}", f"CMAKE_CXX_FLAGS={flags}"]
        environment = compiler.environment(work / "zig")
        commands = {
            "Preparing to compile llama.cpp": compiler.configure_command(source, work / "build", options),
            "Compiling llama.cpp": compiler.build_command(work / "build", "llama"),
        }
        for description, command in commands.items():
            run_tool(f"{description} for {compiler.machine}", command, environment, progress)
        for library in (work / "build" / "bin").glob("*.so"):
            library.rename(folder / library.name)


def _change(source: Path) -> None:
    for name, changes in CHANGES.items():
        text = (source / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            if old not in text:
                raise InputError(f"{name} of this llama.cpp has no {old!r}: CHANGES is for another version of it")
            text = text.replace(old, new)
        (source / name).write_text(text, encoding="utf-8")
