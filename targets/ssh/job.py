"""A command on a device, and the guard that ends its process group, whatever becomes of the link."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from smolship.errors import LinkLost, RuntimeFailure
from smolship.targets.ssh.access import Access
from smolship.targets.ssh.link import Link
from smolship.targets.ssh.scripts import COMMAND, GUARD, HEARTBEATS, device_path, script
from smolship.targets.ssh.session import Session

VERDICT = 15.0
"""seconds beyond its grace that a guard has to say that nothing is left"""
UNNAMED = "a signal that SSH has no name for (SIGBUS, SIGXFSZ, ...)"


@dataclass(frozen=True)
class Ending:
    """How a command ended, and what else is known of the end."""

    code: int | None
    signal: str | None
    errors: str
    problem: RuntimeFailure | None
    """the link was lost, or something is left on the device"""


class Job:
    """One command and its guard, two sessions of one connection.

    The guard is there before the command begins. It ends the command's process group when its own input ends, which is
    what a server does to the sessions of a lost link, and when no heartbeat comes, which is all that a device notices
    of a peer that vanished. Heartbeats go to the guard, so the command's own input stays open and empty.
    """

    def __init__(self, link: Link, access: Access, grace: float) -> None:
        self._link, self._access, self._grace = link, access, grace
        self._command: Session | None = None
        self._guard: Session | None = None
        self._heart: asyncio.Task[None] | None = None

    async def start(self, command: Sequence[str], folder: str) -> None:
        """Begin; on any failure the caller still calls `end`."""
        text = script(COMMAND, *command, folder=device_path(folder))
        opened = await asyncio.gather(self._open_command(), self._open_guard(), return_exceptions=True)
        for error in opened:
            if isinstance(error, BaseException):
                raise error
        assert self._command is not None and self._guard is not None  # noqa: S101, PT018 - nothing was raised
        guard = script(
            GUARD,
            group=self._command.group,
            interval=f"{self._access.keepalive:g}",
            heartbeats=HEARTBEATS,
            grace=round(self._grace * 10),
        )
        await self._guard.write(guard)
        self._heart = asyncio.create_task(self._beat(self._guard))
        await self._command.write(text)

    async def read(self, until: float | None) -> bytes:
        """What the command has printed since; empty once it has ended, which is later than the end of its output.

        `TimeoutError` at `until`, a time of the monotonic clock.
        """
        assert self._command is not None  # noqa: S101 - it was started
        async with asyncio.timeout_at(until):
            chunk = await self._command.read()
            if not chunk:
                await self._command.exited()
            return chunk

    async def end(self) -> Ending:
        """End whatever is left of the command's process group, and see that it is gone."""
        if self._heart:
            self._heart.cancel()
        problem: RuntimeFailure | None = None
        try:
            if self._guard:
                self._check(await self._verdict(self._guard))
            if self._command and self._guard:
                await self._command.drop_output()
        except RuntimeFailure as error:
            problem = error
        for session in (self._command, self._guard):
            if session:
                await session.close()
        if not self._command:
            return Ending(None, None, "", problem)
        return Ending(self._command.code, _name(self._command.signal), self._command.errors, problem)

    async def _open_command(self) -> None:
        self._command = await Session.open(self._link, self._access.connect_timeout)

    async def _open_guard(self) -> None:
        self._guard = await Session.open(self._link, self._access.connect_timeout)

    async def _beat(self, guard: Session) -> None:
        with suppress(LinkLost):  # whoever reads from the command hears of it
            while await guard.write(b"\n"):
                await asyncio.sleep(self._access.keepalive)

    async def _verdict(self, guard: Session) -> str:
        try:
            async with asyncio.timeout(self._grace + VERDICT):
                return await guard.finish()
        except TimeoutError as error:
            raise RuntimeFailure(f"{self._link.host} did not say that the command there was ended") from error

    def _check(self, verdict: str) -> None:
        if "silence" in verdict.split():
            raise LinkLost(f"link lost: {self._link.host} heard nothing of this machine and ended the command")
        if not verdict.endswith("gone"):
            left = verdict.rpartition("left")[2].strip() or "unknown"
            raise RuntimeFailure(f"the command on {self._link.host} could not be ended: left are the processes {left}")


def _name(reported: str | None) -> str | None:
    if reported is None:
        return None
    name = f"SIG{reported}"
    return name if name in signal.Signals.__members__ else UNNAMED
