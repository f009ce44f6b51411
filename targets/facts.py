"""What a device is: its processor, C library, Python, memory and room."""

import re
from dataclasses import dataclass

from smolship.errors import RuntimeFailure
from smolship.targets.asking import ask, number
from smolship.targets.transport import Transport

_FACTS = r"""
say machine "$(uname -m)"
say kernel "$(uname -sr)"
say system "$(uname -o 2>/dev/null)"
say bits "$(getconf LONG_BIT 2>/dev/null)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
[ -n "$libc" ] || libc=$(ldd --version 2>&1 | head -n 1)
say libc "$libc"
say python "$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)"
model=$(one /proc/device-tree/model)
[ -n "$model" ] || model=$(listed Model /proc/cpuinfo)
[ -n "$model" ] || model=$(listed 'model name' /proc/cpuinfo)
say model "$model"
features=$(listed Features /proc/cpuinfo)
[ -n "$features" ] || features=$(listed flags /proc/cpuinfo)
say features "$features"
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
say memory "$(listed MemTotal /proc/meminfo)"
say available "$(listed MemAvailable /proc/meminfo)"
say free "$(df -Pk . 2>/dev/null | tail -n 1)"
say home "$(pwd)"
"""

_DF = re.compile(r"\s\d+\s+\d+\s+(\d{1,15})\s+\d+%\s")
_KIB = 1024


@dataclass(frozen=True)
class Facts:
    """What does not change while a device is on, free memory and space apart."""

    machine: str
    """as `uname -m` says it"""
    bits: int | None
    """of its programs: 32 on a 32-bit system, whatever its kernel is"""
    kernel: str
    libc: str
    """`glibc 2.36`, or what else there is"""
    python: str | None
    model: str
    """what the board calls itself"""
    features: tuple[str, ...]
    """of the processor, as /proc/cpuinfo has them"""
    cores: int
    memory_total: int | None
    """bytes"""
    memory_available: int | None
    free: int | None
    """bytes that may be written below the folder that was asked about"""

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The version of its GNU C library, if it has that."""
        match = re.fullmatch(r"glibc (\d+)\.(\d+)\b.*", self.libc)
        return (int(match[1]), int(match[2])) if match else None

    @property
    def python_version(self) -> tuple[int, int] | None:
        """Major and minor version of its `python3`."""
        match = re.match(r"(\d+)\.(\d+)\b", self.python or "")
        return (int(match[1]), int(match[2])) if match else None


def read_facts(transport: Transport) -> Facts:
    """Ask what a device is; `RuntimeFailure` if what answers is no Linux with a shell."""
    told = ask(transport, _FACTS)
    if not told.get("machine"):
        raise RuntimeFailure("the device does not say what machine it is (`uname -m`): wanted is a Linux with a shell")
    space = _DF.search(told.get("free", ""))
    android = "Android" in told.get("system", "")
    return Facts(
        machine=told["machine"],
        bits=number(told.get("bits", "")),
        kernel=told.get("kernel", ""),
        libc="bionic" if android else told.get("libc") or "unknown",
        python=told.get("python") or None,
        model=told.get("model") or told["machine"],
        features=tuple(sorted(set(told.get("features", "").split()))),
        cores=number(told.get("cores", "")) or 1,
        memory_total=_kib(told.get("memory", "")),
        memory_available=_kib(told.get("available", "")),
        free=int(space[1]) * _KIB if space else None,
    )


def _kib(text: str) -> int | None:
    count = number(text.removesuffix("kB").strip())
    return count * _KIB if count is not None else None
