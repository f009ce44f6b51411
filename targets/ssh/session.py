"""One shell on a device, from its greeting to how it ended."""

import asyncio
import secrets
from collections import deque

from smolship.errors import LinkLost, RuntimeFailure
from smolship.targets.lines import ERROR_LINE_LIMIT, ERROR_LINES, Lines, printable
from smolship.targets.ssh.channel import Channel, open_channel
from smolship.targets.ssh.link import Link
from smolship.targets.ssh.scripts import SHELL, greeting

CHUNK = 1 << 16
"""bytes that are read at once"""
ANSWER = 1 << 16
"""bytes that a login may print before the shell is there, and that a script of ours may answer"""
FAREWELL = 2.0
"""seconds for the rest of what a session prints once nothing of it should be left"""


class Session:
    """A shell on the device that waits for a script on its standard input, and leads a process group of its own."""

    def __init__(self, link: Link) -> None:
        self.link, self.group = link, ""
        self._errors: deque[str] = deque(maxlen=ERROR_LINES)
        self._error_lines = Lines(lambda line: self._errors.append(printable(line)), ERROR_LINE_LIMIT)
        self._channel = Channel(self._error_lines.feed)

    @classmethod
    async def open(cls, link: Link, patience: float) -> "Session":
        """A shell that has said that it is there.

        Raises:
            LinkLost: there was no answer within `patience` seconds.
            RuntimeFailure: the device opens no session, or runs no shell in it.
        """
        session = cls(link)
        try:
            async with asyncio.timeout(patience):
                await _start(link, session._channel)
                await session._greeted()
        except TimeoutError as error:
            await session.close()
            raise LinkLost(f"link lost: {link.host} opened no shell within {patience:g} s") from error
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def errors(self) -> str:
        """The last lines of its standard error, once it has ended."""
        self._error_lines.close()
        return "\n".join(self._errors)

    @property
    def signal(self) -> str | None:
        """The signal that ended it, as SSH names it, without `SIG`."""
        return self._channel.exit_signal

    @property
    def code(self) -> int | None:
        """How it ended; `None` if it did not yet, if a signal ended it, or if nobody will know."""
        return self._channel.exit_status

    async def write(self, data: bytes) -> bool:
        """Send data and wait until the device takes it; `False` if nobody reads there any more."""
        with self.link.errors_named():
            try:
                await self._channel.write(data)
            except BrokenPipeError:
                if self.link.is_open:
                    return False
                raise
        return True

    async def read(self, size: int = CHUNK) -> bytes:
        """What it has printed since, at most `size` bytes; empty at its end."""
        with self.link.errors_named():
            return await self._channel.read(size)

    async def read_line(self) -> str:
        """Its next line; empty at its end."""
        with self.link.errors_named():
            return _shown(await self._channel.read_line(ANSWER))

    async def finish(self) -> str:
        """End its input, wait for its end, and return what it still prints, of which there may be `ANSWER` bytes.

        Raises:
            LinkLost: the link broke before it was known how it ended.
        """
        self._channel.finish()
        answer = b""
        while chunk := await self.read():
            answer = (answer + chunk)[: ANSWER + 1]
            if len(answer) > ANSWER:
                await self.close()
                raise RuntimeFailure(f"{self.link.host} printed more than {ANSWER} bytes where a line was wanted")
        await self.ended()
        return _shown(answer)

    async def exited(self) -> None:
        """Wait until the device has said how it ended, or cannot say it any more; others may hold its output open."""
        await self._channel.exited.wait()

    async def ended(self) -> None:
        """Wait for its end once all that it printed is read; `LinkLost` if that says nothing of how it ended."""
        await self._channel.closed.wait()
        if self.code is None and self.signal is None:
            raise LinkLost(f"link lost: {self.link.host} did not say how the work there ended")

    async def drop_output(self) -> None:
        """Throw away what it has printed, so that the word of its end can come; not for long."""
        try:
            async with asyncio.timeout(FAREWELL):
                while await self.read():
                    pass
                await self.ended()
        except TimeoutError:
            await self.close()

    async def close(self) -> None:
        """End it from this side: its input ends."""
        self._channel.close()

    async def _greeted(self) -> None:
        """Learn the process group that the shell leads, and make it lead one where the server does not (dropbear)."""
        pid, group = await self._greeting(own_group=False)
        if pid != group:
            pid, group = await self._greeting(own_group=True)
        if pid != group or not pid:
            raise RuntimeFailure(
                f"{self.link.host} gives a command no process group of its own, so it could not be ended with all that "
                "it starts: wanted is OpenSSH's server, or the program setsid, and /proc of Linux"
            )
        self.group = pid

    async def _greeting(self, *, own_group: bool) -> tuple[str, str]:
        """The shell's process and its group, after whatever a login prints."""
        mark = f"smolship-{secrets.token_hex(8)}"
        await self.write(greeting(mark, own_group=own_group))
        printed = 0
        while printed <= ANSWER:
            with self.link.errors_named():
                line = await self._channel.read_line(ANSWER)
            words = line.decode("utf-8", "replace").split()
            if words[:1] == [mark]:
                return (words[1], words[-1]) if len(words) > 1 else ("", "")
            if not line:
                break
            printed += len(line)
        await asyncio.sleep(0.1)  # its last words
        raise RuntimeFailure(f"{self.link.host} runs no shell for this user: {self.errors or 'it said nothing'}")


def _shown(answer: bytes) -> str:
    return "\n".join(map(printable, answer.decode("utf-8", "replace").strip().splitlines()))


async def _start(link: Link, channel: Channel) -> None:
    import asyncssh

    with link.errors_named():
        try:
            await open_channel(link.connection, SHELL, channel)
        except asyncssh.ChannelOpenError as error:
            if not link.is_open:
                raise
            raise RuntimeFailure(
                f"{link.host} opens no session ({printable(error.reason)}): its server must allow two (MaxSessions)"
            ) from error
