"""A command that leaves nothing undone to stay: it ignores being asked to end, and has a child."""

import sys
import time
from pathlib import Path

FAMILY = """
import os, subprocess, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
print("ready", flush=True)
time.sleep(60)
"""


def python(program: str) -> list[str]:
    """The command that runs a program of Python."""
    return [sys.executable, "-c", program]


def ignore(_line: str) -> None:
    """For output that does not matter."""


def assert_gone(folder: Path) -> None:
    """Of the processes that wrote their numbers into `folder`, none is there soon."""
    for pid in map(int, (folder / "pids").read_text().split()):
        deadline = time.monotonic() + 5
        while _runs(pid):
            assert time.monotonic() < deadline, f"process {pid} is still there"
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
