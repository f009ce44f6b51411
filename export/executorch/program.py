"""Reading a .pte file without running it: segments, named data, constants, and the XNNPACK graphs inside.

The layout is that of ExecuTorch 1.5: its `program.fbs`, its extended header and XNNPACK's `schema.fbs`.
"""

import importlib.resources
import json
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolship.errors import InputError

_HEADER = 8
"""where the extended header starts: magic and its own length (4 bytes each), then three uint64"""
SIZES = _HEADER + 8
"""where the program's size, the segment base and the size of all segments are stored, each a little-endian uint64"""


@dataclass(frozen=True)
class Segment:
    """Bytes that follow the program; `offset` counts from the segment base."""

    offset: int
    size: int
    position: int
    """where in the file the offset itself is stored, as a little-endian uint64"""


@dataclass(frozen=True)
class Constant:
    """An operand of an operator outside of the delegates that lies in the constant segment."""

    shape: tuple[int, ...]
    offset: int
    """from the segment base"""


class PteFile:
    """A parsed .pte; raises `InputError` for a file that is not one with segments."""

    def __init__(self, data: bytes) -> None:
        from executorch.exir._serialize._flatbuffer_program import _flatbuffer_to_program

        if data[_HEADER : _HEADER + 4] != b"eh00" or data[4:6] != b"ET":
            raise InputError("this is no ExecuTorch program with segments; give a model.pte that smolship wrote")
        self.data = data
        program_size, self.base, self.total = struct.unpack_from("<QQQ", data, SIZES)
        head = data[:program_size]
        self._program: Any = _flatbuffer_to_program(head)
        self.segments = [
            Segment(segment.offset, segment.size, position)
            for segment, position in zip(self._program.segments, _offset_positions(head), strict=True)
        ]
        self.named: dict[str, int] = {entry.key: entry.segment_index for entry in self._program.named_data or ()}
        """the segment of each named blob"""

    def named_bytes(self, key: str) -> bytes:
        """A named blob; `InputError` if the file has none of that name."""
        if key not in self.named:
            raise InputError(f"model.pte has no data under the name {key}: it is damaged, or its map of tensors is")
        segment = self.segments[self.named[key]]
        return self.bytes_at(segment.offset, segment.size)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` after the segment base."""
        return self.data[self.base + offset : self.base + offset + size]

    @property
    def methods(self) -> list[str]:
        """Every method's name, those that only return a constant among them."""
        return [plan.name for plan in self._program.execution_plan]

    def string(self, method: str) -> str:
        """What a constant method returns that returns one string."""
        plan = self._plan(method)
        return str(plan.values[plan.outputs[0]].val.string_val)

    def counts(self, method: str) -> dict[str, int]:
        """What one call of `method` needs: `arena` (bytes of memory that is planned), `delegates`, `instructions`."""
        plan = self._plan(method)
        instructions = sum(len(chain.instructions) for chain in plan.chains)
        arena = sum(plan.non_const_buffer_sizes)
        return {"arena": arena, "delegates": len(plan.delegates), "instructions": instructions}

    def operators(self, method: str) -> set[str]:
        """The names of the operators outside of the delegates, with their overload after a dot."""
        return {f"{o.name}.{o.overload}".rstrip(".") for o in self._plan(method).operators}

    def backends(self, method: str) -> set[str]:
        """The names of the backends that `method` hands parts of its graph to."""
        return {delegate.id for delegate in self._plan(method).delegates}

    def constant_operands(self, method: str, operator: str) -> list[Constant]:
        """The constant tensors that the first call of `operator` reads, in order."""
        plan = self._plan(method)
        calls = (instruction.instr_args for chain in plan.chains for instruction in chain.instructions)
        for call in calls:
            if type(call).__name__ == "KernelCall" and plan.operators[call.op_index].name == operator:
                tensors = [plan.values[i].val for i in call.args if i >= 0]
                tensors = [t for t in tensors if type(t).__name__ == "Tensor" and t.data_buffer_idx > 0]
                return [Constant(tuple(t.sizes), self._constant_offset(t.data_buffer_idx)) for t in tensors]
        raise InputError(f"model.pte never calls {operator}: it was not written by this version of smolship")

    def xnnpack_graphs(self, method: str) -> list[dict[str, Any]]:
        """The graphs that `method` hands to XNNPACK, in order, as the JSON form of `XNNGraph`."""
        graphs = []
        for backend, blob in self.delegate_blobs(method):
            if backend != "XnnpackBackend":
                raise InputError(f"model.pte has a delegate for {backend}; only XNNPACK is known here")
            graphs.append(_xnnpack_json(blob))
        return graphs

    def delegate_blobs(self, method: str) -> list[tuple[str, bytes]]:
        """The name of each backend that `method` calls, in order, and what it is handed."""
        blobs = []
        for delegate in self._plan(method).delegates:
            if delegate.processed.location.name != "SEGMENT":
                raise InputError("model.pte keeps its delegates inside the program; smolship writes them as segments")
            segment = self.segments[delegate.processed.index]
            blobs.append((delegate.id, self.bytes_at(segment.offset, segment.size)))
        return blobs

    def _constant_offset(self, index: int) -> int:
        constants = self._program.constant_segment
        return int(self.segments[constants.segment_index].offset + constants.offsets[index])

    def _plan(self, method: str) -> Any:
        for plan in self._program.execution_plan:
            if plan.name == method:
                return plan
        raise InputError(f"model.pte has no method {method}: it was not written by this version of smolship")


def _offset_positions(program: bytes) -> list[int]:
    """Where each segment's offset is stored: field 0 of the tables in the vector that is field 4 of the root table."""
    from flatbuffers.table import Table

    root = Table(program, int.from_bytes(program[:4], "little"))
    vector = root.Vector(root.Offset(12))
    positions = []
    for i in range(root.VectorLen(root.Offset(12))):
        segment = Table(program, root.Indirect(vector + 4 * i))
        field = segment.Offset(4)
        positions.append(segment.Pos + field if field else 0)  # an offset of zero is not stored
    return positions


def _xnnpack_json(blob: bytes) -> dict[str, Any]:
    """An XNNPACK payload (a header `XH00`, then a flatbuffer) as JSON, by the flatc that ExecuTorch ships."""
    import executorch.backends.xnnpack.serialization as schemas
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    if blob[4:8] != b"XH00":
        raise InputError("model.pte holds an XNNPACK graph of another version than this one's; rebuild the artefact")
    start, size = (int.from_bytes(blob[i : i + 4], "little") for i in (10, 14))
    with tempfile.TemporaryDirectory() as folder:
        schema, binary = Path(folder, "schema.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(importlib.resources.files(schemas).joinpath("schema.fbs").read_bytes())
        binary.write_bytes(blob[start : start + size])
        _flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
        graph: dict[str, Any] = json.loads(Path(folder, "graph.json").read_bytes())
    return graph
