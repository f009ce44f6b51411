"""Memory of this process in bytes, as Linux counts it (proc_pid_status(5))."""

from pathlib import Path
from threading import Event, Thread

STATUS = Path("/proc/self/status")
INTERVAL = 0.010  # seconds between two samples
FIELDS = {"VmHWM": "peak", "VmRSS": "rss", "RssAnon": "anon", "RssFile": "file", "RssShmem": "shared"}


def read_memory() -> dict[str, int]:
    """Peak and present resident memory in bytes: keys `peak`, `rss`, `anon`, `file`, `shared`."""
    found: dict[str, int] = {}
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in FIELDS:
            found[FIELDS[name]] = int(value.split()[0]) * 1024
    return found


class Sampler:
    """A thread that looks at the resident memory every 10 ms and keeps the largest sample with its parts.

    The kernel keeps a peak of the sum only: how much of it is anonymous and how much file-backed is known at samples.
    A runtime that holds the interpreter's lock in a call is sampled between calls: compare `sampled_rss` with `peak`.
    """

    def __init__(self) -> None:
        self._stop = Event()
        self._thread = Thread(target=self._run, name="memory-sampler", daemon=True)
        self._count = 0
        self._largest = read_memory()
        self._most_anon = self._largest["anon"]

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def stop(self) -> dict[str, int]:
        """End sampling; the largest sample with its parts, the most anonymous memory seen, the true peak."""
        self._stop.set()
        self._thread.join()
        self._look()
        largest = self._largest
        return {
            "peak": read_memory()["peak"],
            "sampled_rss": largest["rss"],
            "anon": largest["anon"],
            "file": largest["file"],
            "shared": largest["shared"],
            "most_anon": self._most_anon,
            "samples": self._count,
        }

    def _look(self) -> None:
        now = read_memory()
        self._count += 1
        self._most_anon = max(self._most_anon, now["anon"])
        if now["rss"] > self._largest["rss"]:
            self._largest = now

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._look()
