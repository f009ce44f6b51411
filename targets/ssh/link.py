"""One open connection to a device, through its jump hosts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from smolship.errors import InputError, LinkLost
from smolship.targets.lines import printable
from smolship.targets.ssh.access import Access, Destination, parse_destination
from smolship.targets.ssh.host_keys import KnownHosts, recorder
from smolship.targets.ssh.refusals import configured, connected

if TYPE_CHECKING:
    import asyncssh

KEEPALIVES = 3
"""how many signs of life may be missing until a link counts as lost"""
CLOSING = 1.0
"""seconds that a peer has to agree to the end of a connection"""


class Link:
    """An open connection to `host`, and the one it goes through."""

    def __init__(self, connection: "asyncssh.SSHClientConnection", host: str, through: "Link | None") -> None:
        self.connection, self.host, self.through = connection, host, through

    @property
    def is_open(self) -> bool:
        """Whether nothing has said yet that the link is gone."""
        return not self.connection.is_closed()

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """What is raised inside because the link broke is `LinkLost` outside."""
        import asyncssh

        try:
            yield
        except (asyncssh.Error, ConnectionError) as error:
            reason = printable(str(error)) or type(error).__name__
            raise LinkLost(f"link lost: the connection to {self.host} broke ({reason})") from error

    async def close(self) -> None:
        """Close the connection, then the one it goes through; a peer that stays silent is not waited for."""
        self.connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self.connection.wait_closed()
        self.connection.abort()
        if self.through:
            await self.through.close()


async def open_link(destination: Destination, access: Access, *, asked_by: tuple[Destination, ...] = ()) -> Link:
    """Connect and log in, through the jump hosts that the configuration names.

    Raises:
        Unreachable: nobody answers there, in time or at all.
        InputError: the host's key is unknown or has changed, no key of ours is accepted, or the configuration is wrong.
    """
    if destination in asked_by:
        raise InputError(f"{destination} is reached through itself: see ProxyJump in the configuration of SSH")
    with configured(destination):
        options = await _options(destination, access)
    through: Link | None = None
    try:
        for hop in str(options.tunnel).split(",") if options.tunnel else []:
            jump = parse_destination(hop.strip())
            if through:
                through = await _connect(jump, access, through)
            else:
                through = await open_link(jump, access, asked_by=(*asked_by, destination))
        return await _connect(destination, access, through)
    except BaseException:
        if through:
            await through.close()
        raise


async def _connect(destination: Destination, access: Access, through: Link | None) -> Link:
    import asyncssh

    known = KnownHosts()
    with configured(destination):
        options = await _options(destination, access)
        trusted = known.read(options, access)
    with connected(destination, access, known):
        connection = await asyncssh.connect(
            **_named(destination, access),
            options=options,
            known_hosts=trusted,
            tunnel=through.connection if through else None,
            client_factory=recorder(known),
        )
    return Link(connection, str(destination), through)


async def _options(destination: Destination, access: Access) -> "asyncssh.SSHClientConnectionOptions":
    """What the configuration says of this destination."""
    import asyncssh

    options: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
        **_named(destination, access),
        **({} if access.agent is None else {"agent_path": access.agent}),
        connect_timeout=access.connect_timeout,
        login_timeout=access.connect_timeout,
        keepalive_interval=access.keepalive,
        keepalive_count_max=KEEPALIVES,
        agent_forwarding=False,  # nothing on a device needs our keys
    )
    return options


def _named(destination: Destination, access: Access) -> dict[str, Any]:
    named: dict[str, Any] = {"host": destination.host}
    if access.config is not None:
        named["config"] = [str(access.config)]
    if destination.user:
        named["username"] = destination.user
    if destination.port:
        named["port"] = destination.port
    return named
