"""Asking a device with a shell script: nothing of ours needs to be there, and whatever it prints is bounded."""

import re

from smolship.errors import InputError, RuntimeFailure
from smolship.targets.lines import printable
from smolship.targets.transport import Transport

PATIENCE = 60.0
"""seconds that a device has to answer"""
LINES, LENGTH = 64, 4096
"""how much of an answer is listened to; a device may print what it likes"""

_WORDS = r"""
LC_ALL=C; export LC_ALL
say() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr '\n' ' ')"; }
one() { [ -r "$1" ] && tr '\0' ' ' <"$1" 2>/dev/null; }
listed() { sed -n "s/^$1[[:space:]]*:[[:space:]]*//p" "$2" 2>/dev/null | head -n 1; }
"""

"""what a script says its answers with: `say NAME VALUE`; `one FILE` and `listed KEY FILE` read what the kernel tells"""


def ask(transport: Transport, script: str) -> dict[str, str]:
    """The `name=value` lines that a script prints, the first of each name."""
    told: dict[str, str] = {}

    def listen(line: str) -> None:
        name, equals, value = line.partition("=")
        if equals and name.isidentifier() and len(told) < LINES:
            told.setdefault(name, printable(value[:LENGTH]).strip())

    end = transport.run(["sh", "-c", _WORDS + script], on_line=listen, timeout=PATIENCE)
    if end.timed_out:
        raise RuntimeFailure(f"the device did not say what it is within {PATIENCE:.0f} s: see what keeps it busy")
    if not told:
        raise InputError(f"the device runs no shell script ({end.errors or 'it said nothing'}): wanted is a Linux")
    return told


def number(text: str) -> int | None:
    """A whole number that a device told; `None` for anything else."""
    return int(text) if re.fullmatch(r"\d{1,15}", text) else None
