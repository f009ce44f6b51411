"""From the probe's records to what `Measurements` says of the machine, of memory and of speed."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import TypeAdapter

from smolship.errors import RuntimeFailure
from smolship.progress import Advance
from smolship.runtime_checks.measurements import Host, PeakMemory, Resident, Seconds, Speed, Sustained
from smolship.runtime_checks.run_probe import Record, one_line

LOADED: TypeAdapter[tuple[float, dict[str, str], str | None]] = TypeAdapter(tuple[Seconds, dict[str, str], str | None])
"""of a record `load`: seconds, versions, chat template"""
Taker = Callable[[Any, Record], None]


class Performance:
    """Takes records of load time, memory and speed as they come; `Collector` takes those of right and wrong too.

    `fields` are those of `Measurements` that are known so far; `template` is the chat template in the model file.
    """

    def __init__(self, advance: Advance) -> None:
        self.fields: dict[str, Any] = {"prefill": {}}
        self.template: str | None = None
        self._advance = advance

    def __call__(self, record: Record) -> None:
        """Take one record; `RuntimeFailure` if it is not as the protocol has it."""
        take = self.takers.get(record["record"])
        if take is None:
            raise RuntimeFailure(f"the probe sent a record of the unknown kind {one_line(record['record'])!r}")
        try:
            take(self, {key: value for key, value in record.items() if key not in ("protocol", "record")})
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = one_line(error)
            raise RuntimeFailure(f"the probe's record {record['record']!r} is not as agreed: {said}") from error

    def host(self, record: Record) -> None:
        self.fields["host"] = Host(**record)

    def imports(self, record: Record) -> None:
        self.fields["after_imports"] = Resident(**record["memory"])

    def load(self, record: Record) -> None:
        self.fields["after_load"] = Resident(**record["memory"])
        told = LOADED.validate_python((record["seconds"], record["versions"], record["chat_template"]))
        self.fields["load_seconds"], self.fields["runtime"], template = told
        self.template = template or self.template

    def speed(self, record: Record) -> None:
        measure, speed = record["measure"], Speed(**{key: record[key] for key in record if key != "measure"})
        if measure == "prefill":
            self.fields["prefill"][speed.tokens] = speed
        elif measure in ("first_token", "decode"):
            self.fields[measure] = speed
        else:
            raise ValueError(f"unknown measure {measure!r}")

    def memory(self, record: Record) -> None:
        self.fields["memory"] = PeakMemory(**record)

    def sustained(self, record: Record) -> None:
        self.fields["sustained"] = Sustained(**record)

    def progress(self, record: Record) -> None:
        if record["step"] == "speed":
            self._advance(1)

    def step(self, record: Record) -> None:
        """Which step is under way concerns the failure's message alone."""

    def done(self, record: Record) -> None:
        known = self.fields["host"].model_dump()
        self.fields["host"] = Host(**known | {"load_average_after": record["load_average"]})

    takers: ClassVar[Mapping[str, Taker]] = {
        "host": host,
        "imports": imports,
        "load": load,
        "speed": speed,
        "memory": memory,
        "sustained": sustained,
        "progress": progress,
        "step": step,
        "done": done,
    }
    """what each kind of record adds"""
