"""Device: what one is, whether artefacts can run there, and what smolship keeps on it."""

from dataclasses import dataclass

from smolship.errors import InputError
from smolship.runtime_checks.device import Device
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.runtime_checks.suitability import require_system
from smolship.targets import Facts, State, Transport, read_state


@dataclass(frozen=True)
class Seen:
    """One device that was looked at."""

    name: str
    facts: Facts
    state: State
    runs: dict[str, str]
    """by format: `yes`, or why it cannot run there"""
    kept: int
    """bytes of what smolship keeps there"""


def look(name: str, transport: Transport) -> Seen:
    """Ask a device what it is and how it is doing; nothing is sent there."""
    device = Device.reached(name, transport)
    return Seen(
        name,
        device.facts,
        read_state(transport, idle=True),
        {each: _runs(device, each) for each in RUNTIMES},
        device.kept(),
    )


def clean(name: str, transport: Transport) -> int:
    """Remove what smolship keeps on a device; how many bytes that was."""
    device = Device.reached(name, transport)
    kept = device.kept()
    device.clean()
    return kept


def _runs(device: Device, format_name: str) -> str:
    try:
        require_system(device.name, device.facts)
        device.require_kit(format_name)
    except InputError as refusal:
        return str(refusal)
    return "yes"
