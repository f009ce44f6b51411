"""How a device is doing: what would make its speeds untrustworthy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from smolship.targets.asking import ask, number
from smolship.targets.transport import Transport

_STATE = r"""
say governor "$(one /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
say frequency "$(one /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq)"
say temperature "$(one /sys/class/thermal/thermal_zone0/temp)"
say load "$(one /proc/loadavg)"
say throttled "$(vcgencmd get_throttled 2>/dev/null)"
"""
_BUSY = """
say first "$(head -n 1 /proc/stat)"
sleep 0.25 2>/dev/null || sleep 1
say second "$(head -n 1 /proc/stat)"
"""

BUSY = 0.15
"""share of a device's processors; a load average would still tell of the run before"""


@dataclass(frozen=True)
class State:
    """How a device is doing at one moment; what it does not tell is `None`."""

    governor: str | None
    """of the first core's frequency"""
    frequency: int | None
    """of the first core, in Hz"""
    temperature: float | None
    """degrees Celsius"""
    load: float | None
    """average over the last minute"""
    busy: float | None
    """share of all processors' time that something took, in a quarter of a second; `None` too where nobody asked"""
    throttled: int | None
    """a Raspberry Pi's own word (`vcgencmd get_throttled`): bits 0 to 3 are now, 16 to 19 since it was switched on"""


def read_state(transport: Transport, *, idle: bool = False) -> State:
    """Ask how a device is doing; `idle` says that nothing of ours runs there, so that others' work can be told."""
    told = ask(transport, _STATE + (_BUSY if idle else ""))
    frequency, temperature = number(told.get("frequency", "")), number(told.get("temperature", ""))
    load = re.match(r"\d{1,6}\.\d{1,6}\b", told.get("load", ""))
    throttled = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", told.get("throttled", ""))
    return State(
        governor=told.get("governor") or None,
        frequency=frequency * 1000 if frequency is not None else None,
        temperature=temperature / 1000 if temperature is not None else None,
        load=float(load[0]) if load else None,
        busy=_busy(told.get("first", ""), told.get("second", "")),
        throttled=int(throttled[1], 16) if throttled else None,
    )


def _busy(first: str, second: str) -> float | None:
    """What was not idle between two first lines of /proc/stat (proc_stat(5)): user to steal, of which 4 and 5 idle."""
    times = [[number(word) for word in line.split()[1:9]] for line in (first, second)]
    if not all(len(each) == 8 and None not in each for each in times):
        return None
    passed = [max(0, (b or 0) - (a or 0)) for a, b in zip(*times, strict=True)]
    return 1 - (passed[3] + passed[4]) / sum(passed) if sum(passed) else None


def disturbances(before: State, after: State | None) -> tuple[str, ...]:
    """What makes the speeds of a run between two moments untrustworthy, in words; nothing if nothing was seen.

    `after` is `None` if the device could not be asked any more.
    """
    found = []
    if before.busy is not None and before.busy > BUSY:
        found.append(f"busy with other work: {before.busy:.0%} of its processors before the run")
    if before.throttled is not None:
        later = before.throttled if after is None or after.throttled is None else after.throttled
        now = (before.throttled | later) & 0xF
        new = (later >> 16) & ~(before.throttled >> 16) & 0xF
        found += [words for bit, words in _THROTTLED.items() if (now | new) >> bit & 1]
    return tuple(found)


_THROTTLED: Mapping[int, str] = {
    0: "under-voltage: a weak power supply",
    1: "the processor's frequency was capped",
    2: "throttled by its firmware",
    3: "slowed down at its soft temperature limit",
}
"""bits of `vcgencmd get_throttled` (Raspberry Pi documentation, OS, vcgencmd)"""
