"""The streams of one session: what the device prints, held back where nobody reads it, and how it ended."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

WAITING = 1 << 20
"""bytes of output that may wait for a reader until no more is taken from the device, a window apart"""


class Channel:
    """What asyncssh calls as a session goes on, and what its owner awaits.

    Standard error goes to `on_error` at once. asyncssh's own streams hold back too little: the first bytes that they
    take from the backlog of a paused session renew its whole window, so that the backlog grows for as long as somebody
    reads slowly. Here a pause ends only when nothing waits, and then all of the backlog is taken.
    """

    def __init__(self, on_error: Callable[[bytes], None]) -> None:
        self._on_error = on_error
        self._waiting = bytearray()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._paused = self._ended = False
        self._session: asyncssh.SSHClientChannel[bytes] | None = None
        self._lost: Exception | None = None
        self.exit_status: int | None = None
        self.exit_signal: str | None = None
        self.exited, self.closed = asyncio.Event(), asyncio.Event()

    def started(self, channel: "asyncssh.SSHClientChannel[bytes]") -> None:
        """The session is open."""
        self._session = channel
        self._writable.set()

    def take(self, data: bytes, *, is_error: bool) -> None:
        """The device has printed this."""
        if is_error:
            self._on_error(data)
            return
        self._waiting += data
        self._news.set()
        if len(self._waiting) >= WAITING and not self._paused:
            self._paused = True
            self._open.pause_reading()

    def end(self) -> None:
        """The device prints nothing more."""
        self._ended = True
        self._news.set()

    def leave(self, status: int | None, signal: str | None) -> None:
        """How the command ended."""
        self.exit_status, self.exit_signal = status, signal
        self.exited.set()

    def lose(self, error: Exception | None) -> None:
        """The session is closed, or with an error its connection is lost."""
        self._lost = error
        self.end()
        for event in (self.exited, self.closed, self._writable):
            event.set()

    def hold(self, held: bool) -> None:
        """Whether what is written has to wait."""
        if held:
            self._writable.clear()
        else:
            self._writable.set()

    async def read(self, size: int) -> bytes:
        """At most `size` bytes of what was printed; empty at its end. Raises what the connection was lost by."""
        await self._until(lambda: bool(self._waiting))
        return self._give(size)

    async def read_line(self, limit: int) -> bytes:
        """The next line with its end, or what there is of it at the end of all or at `limit` bytes."""
        await self._until(lambda: b"\n" in self._waiting or len(self._waiting) >= limit)
        return self._give(self._waiting.find(b"\n") + 1 or limit)

    async def write(self, data: bytes) -> None:
        """Send data and wait until more may be sent; `BrokenPipeError` if nobody reads there."""
        self._open.write(data)
        await self._writable.wait()
        if self.closed.is_set():
            raise self._lost or BrokenPipeError

    def finish(self) -> None:
        """Nothing more will be written."""
        self._open.write_eof()

    def close(self) -> None:
        """End the session from this side, if it was ever open."""
        if self._session:
            self._session.close()

    @property
    def _open(self) -> "asyncssh.SSHClientChannel[bytes]":
        assert self._session is not None  # noqa: S101 - it was started
        return self._session

    async def _until(self, enough: Callable[[], bool]) -> None:
        while not enough() and not self._ended:
            self._news.clear()
            await self._news.wait()
        if not self._waiting and self._lost:
            raise self._lost

    def _give(self, size: int) -> bytes:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if self._paused and not self._waiting:
            self._open.resume_reading()  # takes the whole backlog, because `take` does not pause what is paused
            self._paused = len(self._waiting) >= WAITING
            if self._paused:
                self._open.pause_reading()
        return data


async def open_channel(connection: "asyncssh.SSHClientConnection", command: str, channel: Channel) -> None:
    """Start a command in a session of its own, whose streams are `channel`."""
    import asyncssh

    class Calls(asyncssh.SSHClientSession[bytes]):
        def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
            channel.started(chan)

        def data_received(self, data: bytes, datatype: int | None) -> None:
            channel.take(data, is_error=datatype is not None)

        def eof_received(self) -> bool:
            channel.end()
            return True  # its input stays open

        def exit_status_received(self, status: int) -> None:
            channel.leave(status, None)

        def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
            channel.leave(None, signal)

        def connection_lost(self, exc: Exception | None) -> None:
            channel.lose(exc)

        def pause_writing(self) -> None:
            channel.hold(True)

        def resume_writing(self) -> None:
            channel.hold(False)

    await connection.create_session(Calls, command, encoding=None, request_pty=False, x11_forwarding=False)
