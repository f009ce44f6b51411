"""Memory of a process in bytes, as Linux counts it (proc_pid_status(5)); run as a program, this watches another."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

INTERVAL = 0.010  # seconds between two samples
FIELDS = {"VmHWM": "peak", "VmRSS": "rss", "RssAnon": "anon", "RssFile": "file", "RssShmem": "shared"}


def read_memory(pid: int | str = "self") -> dict[str, int]:
    """Peak and present resident memory of a process in bytes: keys `peak`, `rss`, `anon`, `file`, `shared`."""
    found: dict[str, int] = {}
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in FIELDS:
            found[FIELDS[name]] = int(value.split()[0]) * 1024
    return found


class Sampler:
    """Looks at the resident memory every 10 ms and keeps the largest sample with its parts.

    The kernel keeps a peak of the sum only: how much of it is anonymous and how much file-backed is known at samples.
    They are taken by a process of its own: ExecuTorch holds the interpreter's lock through a whole call, and a thread
    would see nothing of it.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
        self._watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._watcher.stdout is not None  # noqa: S101 - a pipe was asked for
        self._watcher.stdout.readline()  # it has begun

    def stop(self) -> dict[str, int]:
        """End sampling; the largest sample with its parts, the most anonymous memory seen, the true peak."""
        told, _ = self._watcher.communicate(b"")
        found: dict[str, int] = json.loads(told)
        return found | {"peak": read_memory()["peak"]}


def watch(pid: str) -> dict[str, int]:
    """Sample another process until standard input closes."""
    largest = read_memory(pid)
    most_anon, count = largest["anon"], 0
    print(flush=True)  # noqa: T201 - the sign to begin
    while not select.select([0], [], [], INTERVAL)[0]:
        try:
            now = read_memory(pid)
        except (FileNotFoundError, ProcessLookupError):
            break  # it has ended
        if "rss" not in now:
            break  # it has ended, and nobody has asked how
        count, most_anon = count + 1, max(most_anon, now["anon"])
        if now["rss"] > largest["rss"]:
            largest = now
    sample = {name: largest[name] for name in ("anon", "file", "shared")}
    return {"sampled_rss": largest["rss"], **sample, "most_anon": most_anon, "samples": count}


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1])))  # noqa: T201 - read by the process that is watched
