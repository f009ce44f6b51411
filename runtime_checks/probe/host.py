"""Facts of the machine that the probe runs on, so that a figure is never read without them."""

import os
import platform
import sys
from pathlib import Path

import numpy as np


def processor() -> tuple[str, list[str]]:
    """The processor's name (the machine's kind, if it has none) and its feature flags, sorted, from /proc/cpuinfo."""
    name, features = platform.machine(), set[str]()
    listing = Path("/proc/cpuinfo")
    text = listing.read_text(encoding="utf-8", errors="replace") if listing.exists() else ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():  # Arm boards have a Model alone
            name = value.strip()
        elif key.strip() in ("flags", "Features"):  # x86, Arm
            features.update(value.split())
    return name, sorted(features)


def _memory() -> dict[str, int]:
    """Bytes of memory the machine has and has free for a new process."""
    found: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found[name] = int(value.split()[0]) * 1024
    return found


def facts() -> dict[str, object]:
    """The machine's processor, features, cores, memory, kernel, C library, Python, and load average (1, 5, 15 min)."""
    cpu, features = processor()
    memory = _memory()
    return {
        "cpu": cpu,
        "features": features,
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_total": memory.get("MemTotal"),
        "memory_available": memory.get("MemAvailable"),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "load_average": list(os.getloadavg()),
    }
