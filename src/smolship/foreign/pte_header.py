"""What the constant methods of a .pte return, read without running it and without ExecuTorch.

Tables are numbered as in ExecuTorch's `schema/program.fbs`; how they lie in bytes: https://flatbuffers.dev/internals/.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolship.errors import InputError

_PLANS = 1  # field of Program
_NAME, _VALUES, _OUTPUTS = 0, 2, 4  # fields of ExecutionPlan
_KIND, _VALUE = 0, 1  # fields of EValue, which is a union
_INT, _BOOL = 2, 3  # of its kinds
_FORWARD = "forward"


def read_constants(path: Path) -> dict[str, int]:
    """The int or bool that each method returns which returns only that, by the method's name.

    `InputError` if the file is no ExecuTorch program, is broken off, or has no method `forward`.
    """
    with path.open("rb") as file:
        if file.read(8)[4:6] != b"ET":
            raise InputError(f"{path} is no ExecuTorch program (it does not start like one): give a .pte file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                root = _Table(data, _offset(data, 0))
                plans = root.tables(_PLANS)
                names = [plan.string(_NAME) for plan in plans]
                found = {name: _returned(plan) for name, plan in zip(names, plans, strict=True)}
            except (struct.error, UnicodeDecodeError, IndexError) as error:
                raise InputError(f"{path} is broken off ({path.stat().st_size} bytes): fetch it again") from error
    if _FORWARD not in found:
        raise InputError(f"{path} has no method {_FORWARD}, which runs the model: give the program of a language model")
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class _Table:
    """A flatbuffers table at a position: its fields by number, each absent or there."""

    data: mmap.mmap
    position: int

    def place(self, field: int) -> int | None:
        """Where a field lies, `None` for one that is not stored because it has its default."""
        index = self.position - _at(self.data, "i", self.position)
        if 4 + 2 * field >= _at(self.data, "H", index):
            return None
        offset = _at(self.data, "H", index + 4 + 2 * field)
        return self.position + offset if offset else None

    def vector(self, field: int) -> range:
        """Where the elements of 4 bytes of a vector lie."""
        place = self.place(field)
        if place is None:
            return range(0)
        start = _offset(self.data, place)
        length = _at(self.data, "I", start)
        if start + 4 + 4 * length > len(self.data):
            raise struct.error("a vector reaches beyond the end of the file")
        return range(start + 4, start + 4 + 4 * length, 4)

    def tables(self, field: int) -> list["_Table"]:
        return [_Table(self.data, _offset(self.data, place)) for place in self.vector(field)]

    def string(self, field: int) -> str:
        place = self.place(field)
        if place is None:
            return ""
        start = _offset(self.data, place)
        return self.data[start + 4 : start + 4 + _at(self.data, "I", start)].decode()

    def scalar(self, code: str, field: int) -> Any:
        place = self.place(field)
        return 0 if place is None else _at(self.data, code, place)


def _returned(plan: _Table) -> int | None:
    """The one int or bool that a method returns, or `None` if it returns something else."""
    outputs = plan.vector(_OUTPUTS)
    if len(outputs) != 1:
        return None
    value = plan.tables(_VALUES)[_at(plan.data, "i", outputs[0])]
    kind, place = value.scalar("B", _KIND), value.place(_VALUE)
    if place is None or kind not in (_INT, _BOOL):
        return None
    inner = _Table(plan.data, _offset(plan.data, place))
    return int(inner.scalar("q", 0)) if kind == _INT else bool(inner.scalar("?", 0))


def _offset(data: mmap.mmap, place: int) -> int:
    """What the relative offset at a place points to."""
    return place + int(_at(data, "I", place))


def _at(data: mmap.mmap, code: str, place: int) -> Any:
    if place < 0:
        raise struct.error("an offset points before the file's beginning")
    return struct.unpack_from(f"<{code}", data, place)[0]
