"""Run the probe through a `Transport`: stage its files, send the job, hand on every record, and name how it ended."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from smolship.artefact import Artefact
from smolship.errors import RuntimeFailure
from smolship.runtime_checks.measurements import Failure
from smolship.runtime_checks.probe.records import PROTOCOL
from smolship.targets import Exit, Transport
from smolship.targets.lines import printable

Record = dict[str, Any]
OnRecord = Callable[[Record], None]
JOB_FILE = "job.json"
ARTEFACT = "artefact"
SAID = 400
"""characters of a probe's own words that are repeated"""
SIGNALS: Mapping[str, str] = {
    "SIGILL": "an illegal instruction: the runtime was built for a processor with other features",
    "SIGKILL": "killed from outside: as a rule the system ran out of memory",
    "SIGSEGV": "the runtime crashed (segmentation fault)",
    "SIGABRT": "the runtime gave up (abort)",
    "SIGBUS": "the runtime crashed (bus error): a file was cut short under it, or the disk is full",
    "SIGFPE": "the runtime crashed (arithmetic error)",
}


def stage(transport: Transport, artefact: Artefact, job: Mapping[str, Any]) -> None:
    """Put the probe, the files that the artefact's manifest lists and the job into the transport's folder."""
    probe = Path(str(files("smolship.runtime_checks") / "probe"))
    for source in sorted(probe.glob("*.py")):
        transport.put(source, f"probe/{source.name}")
    for file in artefact.manifest.files:
        transport.put(artefact.folder / file.path, f"{ARTEFACT}/{file.path}")
    put_job(transport, JOB_FILE, ARTEFACT, job)


def put_job(transport: Transport, destination: str, artefact: str, job: Mapping[str, Any]) -> None:
    """Put a job for the artefact in that folder there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / JOB_FILE
        path.write_text(json.dumps({"protocol": PROTOCOL, "artefact": artefact, **job}), encoding="utf-8")
        transport.put(path, destination)


def run_probe(transport: Transport, on_record: OnRecord, *, timeout: float, command: Sequence[str]) -> Failure | None:
    """Run a probe whose job is there, and give each record to `on_record` as it comes; how it failed, or `None`.

    `RuntimeFailure` if what it prints is not the protocol; any exception in `on_record` ends the probe and travels on.
    """
    listener = _Listener(on_record)
    end = transport.run(command, on_line=listener, timeout=timeout)
    return _failure(end, listener, timeout)


class _Listener:
    """Reads lines of the protocol; remembers what was under way and whether the probe said that it was done."""

    def __init__(self, on_record: OnRecord) -> None:
        self._on_record = on_record
        self.stage = "start"
        self.failed: Record | None = None
        self.done = False

    def __call__(self, line: str) -> None:
        record = _parse(line)
        kind = record["record"]
        self.stage = {"host": "imports", "imports": "load"}.get(kind, self.stage)
        if kind == "step":
            self.stage = one_line(record.get("step"))
        self.done = self.done or kind == "done"
        if kind == "failed":
            self.failed = record
        else:
            self._on_record(record)


def _parse(line: str) -> Record:
    try:
        record: Any = json.loads(line)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is JSON, and no text
    except (ValueError, RecursionError) as error:
        raise RuntimeFailure(f"the probe printed what is not its protocol: {line[:200]!r}") from error
    if isinstance(record, dict) and record.get("protocol") == PROTOCOL and isinstance(record.get("record"), str):
        return record
    raise RuntimeFailure(f"the probe speaks another protocol than {PROTOCOL}: {line[:200]!r}")


def one_line(said: object) -> str:
    """What a probe says, as a terminal, a table and any file can hold it."""
    return printable(" ".join(str(said).split())[:SAID])


def _failure(end: Exit, listener: _Listener, timeout: float) -> Failure | None:
    if listener.failed is not None:
        message = ": ".join(one_line(listener.failed.get(key, "it did not say why")) for key in ("kind", "error"))
        return Failure(stage=one_line(listener.failed.get("stage", listener.stage)), message=message, errors=end.errors)
    if end.timed_out:
        message = f"took longer than {timeout:.0f} s and was ended"
    elif end.signal is not None:
        message = f"ended by {end.signal}, {SIGNALS.get(end.signal, 'a signal')}"
    elif end.code != 0:
        message = f"ended with exit status {end.code}"
    elif not listener.done:
        message = "ended without saying that it was done"
    else:
        return None
    return Failure(stage=listener.stage, message=message, signal=end.signal, errors=end.errors)
