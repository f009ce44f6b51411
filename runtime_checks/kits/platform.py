"""`Platform`: what a kit is made for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """A device as far as programs must fit it: its processor, its C library and its Python."""

    machine: str
    """as `uname -m` says it: `aarch64`, `x86_64`"""
    glibc: tuple[int, int]
    """the version of its GNU C library"""
    python: tuple[int, int] | None
    """the version of its `python3`; `None` if it has none"""

    def __str__(self) -> str:
        python = f", Python {_dotted(self.python)}" if self.python else ", no Python"
        return f"{self.machine}, glibc {_dotted(self.glibc)}{python}"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
