"""What a device answers to a script of ours: taken for what it may be, whatever it is."""

import re

from smolship.targets.ssh.link import Link
from smolship.targets.ssh.session import Session

COUNT = re.compile(r"[0-9]{1,15}")


def count(word: str) -> int | None:
    """A number of bytes or blocks that a device named; `None` for anything else."""
    return int(word) if COUNT.fullmatch(word) else None


async def ask(link: Link, text: bytes, patience: float) -> tuple[int | None, str, str]:
    """Run a script that needs no input: its exit status, what it printed, and the last lines of its errors."""
    session = await Session.open(link, patience)
    try:
        await session.write(text)
        answer = await session.finish()
        return session.code, answer, session.errors
    finally:
        await session.close()
