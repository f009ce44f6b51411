"""Whether an artefact can run on a device at all, judged before anything is sent there."""

from dataclasses import dataclass

from smolship.artefact import Artefact
from smolship.errors import InputError
from smolship.targets import Facts, Target
from smolship.targets.units import UNITS, parse_quantity, show

MACHINES = ("aarch64", "x86_64")
"""what there are kits for"""
SPARE = 64_000_000
"""bytes of storage and of memory that stay with the device"""
SAME_MEMORY = 0.75
"""a device says that it has somewhat less memory than it was sold with: the kernel and the GPU keep theirs"""


@dataclass(frozen=True)
class Needs:
    """Bytes that are still to be sent."""

    artefact: str
    files: int
    kit: int


def require_runnable(name: str, facts: Facts, artefact: Artefact) -> None:
    """`InputError` says why no file of the artefact's format can run there, or why this one cannot."""
    require_system(name, facts)
    model, free = artefact.manifest.model_bytes, facts.memory_available
    if free is not None and model + SPARE > free:
        raise InputError(
            f"{artefact.folder.name} cannot run on {name}: its weights alone are {_mb(model)}, and {_mb(free)} of "
            f"{_mb(facts.memory_total or free)} of memory are free there: take a smaller file, or end what else runs"
        )


def require_room(name: str, facts: Facts, needs: Needs) -> None:
    """`InputError` if the device's storage cannot take what has to be sent."""
    wanted = needs.files + needs.kit
    if wanted and facts.free is not None and wanted + SPARE > facts.free:
        raise InputError(
            f"{name} has no room for {needs.artefact}: {_mb(needs.files)} of files and {_mb(needs.kit)} of programs "
            f"are to go there, and {_mb(facts.free)} are free: free some, or remove what earlier runs left "
            "(`smolship device clean`)"
        )


def require_target(name: str, facts: Facts, target: Target) -> None:
    """`InputError` if a device cannot be the one that a target describes: its budgets would judge another one."""
    device = target.device
    if device.architecture not in ("any", facts.machine):
        raise _other(name, target, f"a processor of the kind {device.architecture}, and this one is {facts.machine}")
    missing = [feature for feature in device.cpu_features if feature not in facts.features]
    if missing and facts.features:
        raise _other(name, target, f"the processor features {', '.join(missing)}, which this one lacks")
    if device.memory is not None and facts.memory_total is not None:
        wanted = parse_quantity(device.memory.value).value
        if facts.memory_total < SAME_MEMORY * wanted:
            raise _other(name, target, f"{device.memory.value} of memory, and this one has {_mb(facts.memory_total)}")


def require_system(name: str, facts: Facts) -> None:
    """`InputError` unless it runs programs of 64 bits for the GNU C library, as which all runtimes are built."""
    if facts.libc == "bionic":
        raise InputError(
            f"{name} is Android, whose C library (bionic) does not load the runtimes' glibc programs: run a Debian on "
            "it (Termux: `proot-distro install debian`), with an SSH server in there, and name that"
        )
    if facts.machine not in MACHINES or facts.bits == 32:
        found = f"{facts.machine} with a {facts.bits}-bit system" if facts.bits else facts.machine
        raise InputError(
            f"{name} is {found}, and there are runtimes for 64-bit {' and '.join(MACHINES)} alone: install a 64-bit "
            "system (for a Raspberry Pi 3 or newer, Raspberry Pi OS 64-bit)"
        )
    if facts.glibc is None:
        raise InputError(
            f"{name} has the C library {facts.libc!r}, and the runtimes are built for GNU's: use a distribution with "
            "glibc, such as Debian or Raspberry Pi OS"
        )


def _other(name: str, target: Target, difference: str) -> InputError:
    return InputError(
        f"{name} is not what target {target.name} describes ({target.title}): that has {difference}: name the target "
        "that it is, or a .toml file of your own"
    )


def _mb(count: int) -> str:
    return show(count, UNITS["MB"])
