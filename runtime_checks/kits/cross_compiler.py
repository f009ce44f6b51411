"""The cross compiler: zig, a package of PyPI that brings clang, and the headers and symbols of every glibc."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from smolship.errors import InputError
from smolship.progress import Progress

OLDEST_GLIBC = (2, 28)
"""what is compiled here runs from this C library on, the one that numpy's wheels for ARM ask for (manylinux_2_28)"""
MACHINES = ("aarch64", "x86_64")
PACKAGES = ("ziglang", "cmake", "ninja")
# A user's flags are for compilers of this machine: `-mno-amx-tile` ends a compilation for another one.
OWN_SETTINGS = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CMAKE_GENERATOR", "CMAKE_TOOLCHAIN_FILE")


@dataclass(frozen=True)
class CrossCompiler:
    """zig's C and C++ compilers for one kind of machine, with CMake and Ninja to drive them."""

    machine: str
    version: str
    """of zig"""
    zig: Path
    ninja: Path

    @property
    def target(self) -> str:
        """As zig names it, with the oldest C library that the programs are to run on."""
        return f"{self.machine}-linux-gnu.{'.'.join(map(str, OLDEST_GLIBC))}"

    def compile_command(self, language: str) -> list[str]:
        """What compiles and links `cc` or `c++`."""
        return [str(self.zig), language, "-target", self.target]

    def configure_command(self, source: Path, build: Path, options: Sequence[str]) -> list[str]:
        """What has CMake prepare `build`; `options` are written `NAME=value`."""
        command = [*_cmake(), "-S", str(source), "-B", str(build), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={self.ninja}"]
        command += ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={self.machine}"]
        for name, language in (("C", "cc"), ("CXX", "c++")):
            command += [
                f"-DCMAKE_{name}_COMPILER={self.zig};{language}",
                f"-DCMAKE_{name}_COMPILER_TARGET={self.target}",
            ]
        return [*command, *(f"-D{option}" for option in options)]

    def build_command(self, build: Path, target: str) -> list[str]:
        """What builds a target of a prepared folder, on every core."""
        return [*_cmake(), "--build", str(build), "--target", target]

    def environment(self, cache: Path) -> dict[str, str]:
        """This process's environment without its compilers' settings; zig keeps the C libraries it makes in `cache`.

        Ninja begins its lines with how much is done, for `run_tool`.
        """
        kept = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
        return kept | caches | {"NINJA_STATUS": "%p "}


def cross_compiler(machine: str) -> CrossCompiler:
    """The compiler for a machine as `uname -m` names it.

    `InputError` if there is none for such a machine, or if one of `PACKAGES` is not installed here.
    """
    if machine not in MACHINES:
        raise InputError(
            f"nothing can be compiled for a device of kind {machine!r}: the known kinds are {', '.join(MACHINES)} "
            "(a 64-bit system is needed; a 32-bit ARM one says armv7l)"
        )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"compiling for a device needs {', '.join(missing)}, which is not installed here: "
            "pip install 'smolship[device]'"
        )
    import ninja

    zig = distribution("ziglang")
    return CrossCompiler(machine, zig.version, Path(str(zig.locate_file("ziglang/zig"))), Path(ninja.BIN_DIR) / "ninja")


def _cmake() -> list[str]:
    return [sys.executable, "-m", "cmake"]


def run_tool(description: str, command: Sequence[str], environment: dict[str, str], progress: Progress) -> None:
    """Run CMake and show how much of its work is done, where it begins its lines with that (`12% `).

    `InputError` has the compiler's own words if it fails.
    """
    said: list[str] = []
    with (
        progress.task(description, 100) as advance,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        ) as process,
    ):  # fmt: skip
        done = 0
        for line in process.stdout or ():
            said.append(line.rstrip())
            share = line.split("%", 1)[0].strip()
            if share.isdecimal():
                advance(int(share) - done)
                done = int(share)
    if process.returncode:
        errors = [line for line in said if "error" in line.lower()] or said[-3:]
        raise InputError(f"{description} failed: {'; '.join(errors[:3])}")
