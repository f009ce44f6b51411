"""Telling the lines of a progress log from what else is on stderr: a slow machine has more of them than a quick one."""

import re

_SIGN = re.compile(r"\[[ \d]{3,}:\d\d\] (  )*\S.*")


def without_signs(errors: str) -> str:
    """What else was written to stderr."""
    return "".join(line for line in errors.splitlines(keepends=True) if not _SIGN.fullmatch(line.rstrip("\n")))
