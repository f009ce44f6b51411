"""The stopwatch hands tasks on and notes the ones that end well."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from smolship.progress import Advance
from smolship.stopwatch import Stopwatch


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None, float]] = []

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        yield lambda amount, _=None: self.told.append((description, total, amount))


def test_tasks_reach_the_listener_and_become_laps() -> None:
    listener = Listener()
    watch = Stopwatch(listener)
    with watch.task("trace", 2.0) as advance:
        held = bytearray(50_000_000)
        advance(1.0)
        del held
    with watch.task("write"):
        pass
    assert listener.told == [("trace", 2.0, 1.0)]
    assert [lap.name for lap in watch.laps] == ["trace", "write"]
    assert all(lap.seconds >= 0 for lap in watch.laps)
    assert watch.laps[1].peak_memory >= watch.laps[0].peak_memory > 50_000_000


def test_a_task_that_fails_is_no_lap() -> None:
    watch = Stopwatch(Listener())
    with pytest.raises(ValueError, match="no"), watch.task("trace"):
        raise ValueError("no")
    assert not watch.laps
