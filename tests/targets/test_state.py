"""How a device is doing, and what of it makes a run's speeds untrustworthy."""

from dataclasses import replace
from pathlib import Path

import pytest

from smolship.targets import Local, State, disturbances, read_state

QUIET = State(governor="performance", frequency=2_400_000_000, temperature=48.3, load=0.2, busy=0.01, throttled=0)
NOTHING_TOLD = State(governor=None, frequency=None, temperature=None, load=None, busy=None, throttled=None)


def test_this_machine_tells_its_load_at_least() -> None:
    state = read_state(Local(Path("/")))
    assert state.load is not None
    assert state.load == pytest.approx(float(Path("/proc/loadavg").read_text().split()[0]), abs=0.5)


@pytest.mark.parametrize(
    ("said", "throttled"),
    [
        ("throttled=0x0", 0),
        ("throttled=0x50005", 0x50005),
        ("VCHI initialization failed", None),
        ("throttled=0x123456789", None),
        ("", None),
    ],
)
def test_the_word_of_a_raspberry_pi_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, throttled: int | None
) -> None:
    (tmp_path / "vcgencmd").write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo "{said}"\n')
    (tmp_path / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert read_state(Local(tmp_path)).throttled == throttled


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0, 0, []),
        (0x4, 0x4, ["throttled by its firmware"]),  # all the while
        (0x40004, 0x40000, ["throttled by its firmware"]),  # until it was over
        (0, 0x50000, ["under-voltage", "throttled by its firmware"]),  # meanwhile
        (0x50000, 0x50000, []),  # once, before
        (0x50000, 0xD0008, ["soft temperature limit"]),
        (0, 0x2, ["frequency was capped"]),
        (None, 0x5, []),
        (0, None, []),
    ],
)
def test_throttling_that_a_run_had_is_told_and_that_of_before_is_not(
    before: int | None, after: int | None, words: list[str]
) -> None:
    told = disturbances(replace(QUIET, throttled=before), replace(QUIET, throttled=after))
    assert len(told) == len(words)
    assert all(word in sentence for word, sentence in zip(words, told, strict=True))


@pytest.mark.parametrize(("busy", "disturbed"), [(None, False), (0.0, False), (0.15, False), (0.16, True), (1.0, True)])
def test_a_device_that_is_busy_before_the_run_is_disturbed(busy: float | None, *, disturbed: bool) -> None:
    told = disturbances(replace(QUIET, busy=busy, load=9.0), replace(QUIET, busy=0.9))  # the run itself is work
    assert told == ((f"busy with other work: {busy:.0%} of its processors before the run",) if disturbed else ())


def test_a_device_that_tells_nothing_is_not_called_disturbed() -> None:
    assert disturbances(NOTHING_TOLD, NOTHING_TOLD) == ()


def test_a_device_that_could_not_be_asked_afterwards_is_judged_by_what_it_said_before() -> None:
    assert disturbances(QUIET, None) == ()
    assert len(disturbances(replace(QUIET, throttled=0x1, busy=0.9), None)) == 2
