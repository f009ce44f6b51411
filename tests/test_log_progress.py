"""What a log says of stages: first lines, ticks and ends, by a clock of the test's own."""

import io
import re

import pytest
from signs_of_life import without_signs

from smolship.log_progress import ProgressLog


class Watched:
    """A log whose clock is set by hand, and which looks when the test says so: its thread is never started."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 1000.0
        self.log = ProgressLog(self.stream, clock=lambda: self.now)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.log.look()

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_stage_begins_ticks_each_minute_and_ends(watched: Watched) -> None:
    with watched.log.listener().task("measure curvature", 200) as advance:
        watched.after(1)
        advance(50)
        for _ in range(150):
            watched.after(0.5)
        advance(50)
        watched.after(45)
        watched.after(5)
    *others, end = watched.lines
    assert others == [
        "[  0:00] measure curvature ...",
        "[  1:00] measure curvature: 25 %, about 3 min left",
        "[  2:01] measure curvature: 50 %, about 2 min left",
    ]
    assert re.fullmatch(r"\[  2:06\] measure curvature: done in 126 s; \d+\.\d GB of memory at most so far", end)


def test_a_stage_that_is_over_within_a_second_leaves_no_line(watched: Watched) -> None:
    for _ in range(100):
        with watched.log.listener().task("ask one question", 1) as advance:
            advance(1)
            watched.after(0.9)
    assert watched.lines == []


def test_a_stage_that_nobody_could_look_at_meanwhile_has_its_two_lines(watched: Watched) -> None:
    """A library that does not let go of the interpreter holds up the thread; missed ticks are not made up for."""
    with watched.log.listener().task("lower"):
        watched.now += 30
    with watched.log.listener().task("write"):
        watched.now += 300
        watched.log.look()
        watched.after(1)
    assert watched.lines[:4] == [
        "[  0:00] lower ...",
        "[  0:30] lower: done in 30 s",
        "[  0:30] write ...",
        "[  5:30] write: 5 min so far",
    ]
    assert len(watched.lines) == 5


def test_without_a_total_it_says_how_long_it_has_run(watched: Watched) -> None:
    with watched.log.listener().task("trace the graph") as advance:
        watched.after(1)
        advance(1)
        watched.after(59)
        watched.after(2 * 3600)
        assert watched.lines[1:] == ["[  1:00] trace the graph: 1 min so far", "[121:00] trace the graph: 2.0 h so far"]


def test_a_total_of_nothing_is_no_total(watched: Watched) -> None:
    with watched.log.listener().task("fetch", 0):
        watched.after(60)
        assert watched.lines[-1] == "[  1:00] fetch: 1 min so far"


@pytest.mark.parametrize(
    ("done", "said"),
    [(0, "0 %"), (1, "1 %, about 1.6 h left"), (90, "90 %, about 10 s left"), (100, "100 %"), (120, "100 %")],
)
def test_the_time_left_is_said_only_if_it_can_be_known(watched: Watched, done: float, said: str) -> None:
    with watched.log.listener().task("work", 100) as advance:
        watched.after(1)
        advance(done)
        watched.after(59)
        assert watched.lines[-1] == f"[  1:00] work: {said}"


def test_what_was_found_done_at_the_start_makes_no_speed(watched: Watched) -> None:
    with watched.log.listener().task("distil", 1000) as advance:
        advance(900)  # by a run that was stopped
        watched.after(1)
        advance(10)
        watched.after(60)
        assert watched.lines[-1] == "[  1:01] distil: 91 %, about 9 min left"


def test_a_tick_has_the_newest_description_and_the_end_the_first(watched: Watched) -> None:
    with watched.log.listener().task("distil", 100) as advance:
        advance(50, "distil, 0.1 nats")
        watched.after(60)
    assert watched.lines[0] == "[  0:00] distil ..."
    assert watched.lines[1].startswith("[  1:00] distil, 0.1 nats: 50 %")
    assert watched.lines[2].startswith("[  1:00] distil: done in 60 s")


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_stage_that_fails_is_broken_off_and_not_done(watched: Watched, fault: type[BaseException]) -> None:
    listener = watched.log.listener()

    def fail() -> None:
        watched.after(5)
        raise fault

    with pytest.raises(fault), listener.task("pack"):
        fail()
    with listener.task("the next one"):
        watched.after(59)
    assert watched.lines == [
        "[  0:00] pack ...",
        "[  0:05] pack: broken off after 5 s",
        "[  0:05] the next one ...",
        "[  1:04] the next one: done in 59 s",
    ]


def test_a_stage_inside_another_is_indented_and_stands_after_it(watched: Watched) -> None:
    listener = watched.log.listener()
    with listener.task("put together"), listener.task("fetch numpy"):
        watched.now += 2
    assert watched.lines == [
        "[  0:00] put together ...",
        "[  0:00]   fetch numpy ...",
        "[  0:02]   fetch numpy: done in 2 s",
        "[  0:02] put together: done in 2 s",
    ]


def test_listeners_of_several_names_do_not_nest(watched: Watched) -> None:
    with watched.log.listener("pi").task("look at it"), watched.log.listener("phone").task("look at it"):
        watched.after(1)
        assert watched.lines == ["[  0:00] pi: look at it ...", "[  0:00] phone: look at it ..."]


def test_a_name_is_one_line_whatever_is_in_it(watched: Watched) -> None:
    with watched.log.listener().task("hash a\n::error::b\x1b[2J"):
        watched.after(1)
        assert watched.lines == ["[  0:00] hash a ::error::b [2J ..."]


def test_signs_of_life_are_told_from_the_rest() -> None:
    signs = "[  0:00] lower ...\n[121:07]   fetch: done in 5 s\n"
    assert without_signs(signs) == ""
    assert without_signs(f"{signs}Warning: [  0:00] lower\n[1] odd\n") == "Warning: [  0:00] lower\n[1] odd\n"
