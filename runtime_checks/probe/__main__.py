"""`python -m probe job.json`: load the artefact, take the job's steps, print records; exit 0, or 3 after `failed`."""

import json
import os
import sys
import traceback
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

from .backend import Backend, import_backend
from .host import facts
from .memory import Sampler, read_memory
from .records import PROTOCOL, Records
from .steps import STEPS

FAILED = 3


def main(job_file: str) -> int:
    """Take every step of a job file; the exit code of the process."""
    records, stage = Records(), ["job"]
    try:
        job = _read_job(job_file)
        if job.get("watch_stdin"):
            Thread(target=_exit_with_parent, daemon=True).start()
        _take(job, records, stage)
    except Exception as error:  # noqa: BLE001 - the process's edge: whatever a runtime raises is a result
        traceback.print_exc()
        records.emit("failed", stage=stage[0], kind=type(error).__name__, error=str(error) or type(error).__name__)
        return FAILED
    return 0


def _read_job(job_file: str) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(Path(job_file).read_text(encoding="utf-8"))
    if job.get("protocol") != PROTOCOL:
        raise ValueError(f"the job speaks protocol {job.get('protocol')!r}, this probe {PROTOCOL}")
    unknown = [step["step"] for step in job["steps"] if step["step"] not in {*STEPS, "memory"}]
    if unknown:
        raise ValueError(f"unknown step {unknown[0]!r}: the known ones are {', '.join(sorted({*STEPS, 'memory'}))}")
    return job


def _take(job: dict[str, Any], records: Records, stage: list[str]) -> None:
    """Imports, load, then the steps in their order; `stage` names what is under way for a failure's record."""
    records.emit("host", **facts(), threads=job["threads"])
    stage[0] = "imports"
    start = perf_counter()
    backend_type = import_backend(job["backend"])
    records.emit("imports", seconds=perf_counter() - start, memory=read_memory())
    stage[0] = "load"
    sampler = Sampler()
    start = perf_counter()
    backend: Backend = backend_type(job["artefact"], job["context"], job["threads"], job["model"])
    seconds = perf_counter() - start
    template = getattr(backend, "chat_template", None)  # only where the runtime reads it out of the model file
    records.emit("load", seconds=seconds, memory=read_memory(), versions=backend.versions, chat_template=template)
    for index, step in enumerate(job["steps"]):
        stage[0] = step["step"]
        records.emit("step", step=step["step"], number=index + 1, of=len(job["steps"]))
        if step["step"] == "memory":
            records.emit("memory", **sampler.stop())
        else:
            STEPS[step["step"]](backend, records, step)
    records.emit("done", load_average=list(os.getloadavg()))


def _exit_with_parent() -> None:
    """End this process when its standard input closes: whoever asked for the measurements is gone."""
    while os.read(0, 4096):
        pass
    os._exit(FAILED)


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # without the interpreter's teardown: some runtimes crash in it, after all is said
