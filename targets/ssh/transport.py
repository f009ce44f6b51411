"""`Ssh`: a folder on a device, over one connection."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self, TypeVar

from smolship.errors import InputError, LinkLost
from smolship.progress import Progress, Silent
from smolship.targets import transport
from smolship.targets.lines import Lines, OnLine
from smolship.targets.ssh.access import Access, parse_destination
from smolship.targets.ssh.download import download
from smolship.targets.ssh.event_loop import EventLoop
from smolship.targets.ssh.job import Ending, Job
from smolship.targets.ssh.link import Link, open_link
from smolship.targets.ssh.refusals import Unreachable
from smolship.targets.ssh.scripts import device_path
from smolship.targets.ssh.upload import Upload, look_at
from smolship.targets.transport import Exit

T = TypeVar("T")


class Ssh:
    """A `Transport` to a folder of a device; the connection is open while the `with` block runs.

    `destination` is `[user@]host[:port]` or a Host of the configuration; `folder` is made by the first `put`, and is
    below the user's home unless it is absolute. A transfer whose link is lost connects again and goes on, as often as
    `access.pauses` has entries. The device needs sh, cat, dd, wc, sha256sum and the like, and Linux's /proc.

    Entering raises `InputError` if asyncssh is not installed and whatever `open_link` raises.
    """

    def __init__(
        self, destination: str, folder: str, *, access: Access = Access(), progress: Progress = Silent()
    ) -> None:
        self.destination = parse_destination(destination)
        self.folder, self.access = folder, access
        self._progress = progress
        self._loop: EventLoop | None = None
        self._link: Link | None = None

    def __enter__(self) -> Self:
        _require_asyncssh()
        self._loop = EventLoop()
        try:
            self._linked()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop_link()
        if self._loop:
            self._loop.close()
            self._loop = None

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """See `Transport.run`; the command leads a process group, and none of it is left when this returns or raises.

        Raises:
            LinkLost: the link broke before it was known how the command ended; the device ends it by itself, at once if
                it hears of it, or after some heartbeats.
            RuntimeFailure: the device runs no shell, or something of the command could not be ended.
        """
        loop, link = self._running(), self._linked()
        start = monotonic()
        job = Job(link, self.access, transport.GRACE)
        try:
            loop.call(job.start(command, self.folder))
            timed_out = not _listen(loop, job, on_line, monotonic() + timeout if timeout else None)
        except BaseException as error:
            ending = loop.call(job.end())
            if ending.problem:
                error.add_note(str(ending.problem))
            raise
        ending = loop.call(job.end())
        return _exit(ending, timed_out=timed_out, seconds=monotonic() - start)

    def put(self, source: Path, destination: str) -> None:
        """See `Transport.put`; a file with that SHA-256 is not sent again, and one that was cut short is gone on with.

        Raises:
            InputError: it cannot be read, the device has no room for it, or what arrived is something else.
            LinkLost: the link was lost again and again; what arrived stays there for the next call.
        """
        file = look_at(source)
        with self._progress.task(f"to {self.destination.host}: {source.name}", file.size) as advance:
            upload = Upload(file, device_path(self.folder, destination), advance)
            self._persistently(lambda link: upload.attempt(self._running(), link, self.access))

    def get(self, source: str, destination: Path) -> None:
        """See `Transport.get`; what arrived has the SHA-256 that the device has.

        Raises:
            InputError: it is not there, there is no room for it here, or it changed on its way.
            LinkLost: the link was lost again and again; the file is still there.
        """
        path = device_path(self.folder, source)
        with self._progress.task(f"from {self.destination.host}: {source}") as advance:
            self._persistently(lambda link: download(self._running(), link, self.access, path, destination, advance))

    def _persistently(self, work: Callable[[Link], T]) -> T:
        for pause in self.access.pauses:
            try:
                return work(self._linked())
            except (LinkLost, Unreachable):
                self._drop_link()
                sleep(pause)
        return work(self._linked())

    def _running(self) -> EventLoop:
        if self._loop is None:
            raise InputError(f"no connection to {self.destination} is open: `with Ssh(...) as transport:` opens it")
        return self._loop

    def _linked(self) -> Link:
        """The open link, or a new one in place of one that was lost."""
        loop = self._running()
        if self._link and not self._link.is_open:
            self._drop_link()
        if self._link is None:
            self._link = loop.call(open_link(self.destination, self.access))
        return self._link

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link and self._loop:
            self._loop.call(link.close())


def _listen(loop: EventLoop, job: Job, on_line: OnLine, until: float | None) -> bool:
    """Hand on what the command prints until it ends; whether it did before `until`, a time of the monotonic clock."""
    lines = Lines(on_line)
    while True:
        try:
            chunk = loop.call(job.read(until))
        except TimeoutError:
            return False
        if not chunk:
            lines.close()
            return True
        lines.feed(chunk)


def _exit(ending: Ending, *, timed_out: bool, seconds: float) -> Exit:
    if ending.problem:
        raise ending.problem
    return Exit(ending.code, ending.signal, timed_out, seconds, ending.errors)


def _require_asyncssh() -> None:
    try:
        import asyncssh  # noqa: F401 - whether it is there
    except ImportError as error:
        raise InputError(
            "a device is reached with asyncssh, which is not installed here: pip install 'smolship[device]'"
        ) from error
