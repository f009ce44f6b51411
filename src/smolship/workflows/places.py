"""The devices of a smoke test, and work on all of them side by side."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import NoReturn, TypeVar

from smolship.progress import Progress
from smolship.targets import Access, Ssh, Target, Transport

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Place:
    """A device to test, and how it is reached."""

    name: str
    target: Target
    connect: Callable[[Progress], AbstractContextManager[Transport]]
    """opens the way to the user's home there"""


def over_ssh(name: str, host: str, target: Target, access: Access) -> Place:
    """A device that is reached at `host`."""
    return Place(name, target, lambda progress: Ssh(host, ".", access=access, progress=progress))


def side_by_side(work: Callable[[Place], T], places: Sequence[Place]) -> dict[Place, T]:
    """What comes of each device, in the order of `places`.

    The threads do not keep an interrupted process alive: with it go its links, and a device that loses its link ends
    what runs there by itself.
    """
    ended: SimpleQueue[tuple[Place, Callable[[], T]]] = SimpleQueue()

    def run(place: Place) -> None:
        try:
            result = work(place)
            ended.put((place, lambda: result))
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits
            ended.put((place, partial(_raise, error)))

    for place in places:
        Thread(target=run, args=(place,), name=place.name, daemon=True).start()
    found: dict[Place, T] = {}
    for _ in places:
        place, outcome = ended.get()
        found[place] = outcome()
    return {place: found[place] for place in places}


def _raise(error: BaseException) -> NoReturn:
    raise error
