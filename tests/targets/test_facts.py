"""What a device is, asked with nothing but a shell: odd systems, missing programs, and answers that are none."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smolship.errors import InputError, RuntimeFailure, SmolshipError
from smolship.targets import Exit, Facts, Local, disturbances, read_facts, read_state
from smolship.targets.asking import LENGTH, LINES, ask
from smolship.targets.lines import CONTROL, OnLine

PROGRAMS = ("sh", "tr", "sed", "head", "tail", "df", "uname", "getconf", "python3", "ldd")
"""what the questions are asked with, where they are there"""
ARM = 'case $1 in -m) echo aarch64;; -sr) echo Linux 6.1;; *) echo "{system}";; esac'


class Told(Local):
    """A device that answers every question with these lines."""

    def __init__(self, lines: Iterable[str], *, timed_out: bool = False) -> None:
        super().__init__(Path())
        self._lines, self._timed_out = lines, timed_out

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        for line in self._lines:
            on_line(line)
        return Exit(0, None, self._timed_out, 0.0, "a word of its own")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the programs of a device, which its shell finds and no others."""
    programs = tmp_path / "programs of the device"
    programs.mkdir()
    for name in PROGRAMS:
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    return programs


def replaced(programs: Path, **scripts: str) -> Facts:
    """The facts of a device of which some programs do something else; nothing stands for one that is not there."""
    for name, script in scripts.items():
        (programs / name).unlink(missing_ok=True)
        if script:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
    return read_facts(Local(programs))


def test_the_facts_of_this_machine_are_those_that_python_knows(device: Path) -> None:
    facts = replaced(device, python3=f'exec {sys.executable} "$@"')
    assert facts.machine == platform.machine()
    assert facts.libc == " ".join(platform.libc_ver())
    assert facts.glibc == tuple(map(int, platform.libc_ver()[1].split(".")[:2]))
    assert facts.python == platform.python_version()
    assert facts.python_version == sys.version_info[:2]
    assert facts.cores == os.sysconf("SC_NPROCESSORS_ONLN")
    assert facts.memory_total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts.bits == sys.maxsize.bit_length() + 1
    assert facts.free == pytest.approx(shutil.disk_usage(device).free, rel=0.05)
    assert len(facts.features) > 5


def test_android_is_named_by_its_c_library(device: Path) -> None:
    facts = replaced(device, uname=ARM.format(system="Android"), getconf="", ldd="")
    assert (facts.machine, facts.libc, facts.glibc) == ("aarch64", "bionic", None)


def test_musl_is_no_glibc(device: Path) -> None:
    """Alpine's getconf knows no GNU_LIBC_VERSION, and its ldd says what it is on standard error."""
    facts = replaced(device, getconf="exit 1", ldd='echo "musl libc (aarch64)" >&2; echo "Version 1.2.5" >&2; exit 1')
    assert (facts.libc, facts.glibc) == ("musl libc (aarch64)", None)


def test_a_32_bit_system_on_a_64_bit_kernel_is_seen(device: Path) -> None:
    facts = replaced(device, uname=ARM.format(system="GNU/Linux"), getconf="echo 32")
    assert (facts.machine, facts.bits) == ("aarch64", 32)


@pytest.mark.parametrize("python", ["", "echo 'pyenv: no such command' >&2; exit 127", "echo 'no version'"])
def test_a_device_without_python_says_so(device: Path, python: str) -> None:
    assert replaced(device, python3=python).python_version is None


def test_a_device_with_little_more_than_a_shell_is_told_of_as_far_as_it_goes(device: Path) -> None:
    facts = replaced(device, getconf="", ldd="", python3="", df="", head="", tail="")
    assert facts.machine == platform.machine()
    assert (facts.glibc, facts.python, facts.free) == (None, None, None)
    assert facts.cores >= 1


def test_an_answer_with_line_ends_and_escape_codes_is_one_harmless_line(device: Path) -> None:
    facts = replaced(device, uname=r"printf 'arm\033[2Jv7\nmachine=x86_64\n'")
    assert facts.machine == "arm�[2Jv7 machine=x86_64"


def test_a_value_may_hold_an_equals_sign_and_the_first_of_a_name_counts() -> None:
    told = ["machine=aarch64", "model=a=b = c", "model=another", "kernel", "=nothing", "no name=x", "libc=glibc 2.36"]
    facts = read_facts(Told(told))
    assert (facts.model, facts.kernel, facts.glibc) == ("a=b = c", "", (2, 36))


def test_a_million_lines_are_not_kept() -> None:
    lines = (f"name{i}={'x' * (100 if i else 10 * LENGTH)}" for i in range(1_000_000))
    told = ask(Told(lines), "")
    assert len(told) == LINES
    assert max(map(len, told.values())) == LENGTH


@pytest.mark.parametrize(
    ("lines", "words"),
    [([], "runs no shell script"), (["Welcome!"], "runs no shell script"), (["machine="], "does not say what machine")],
)
def test_what_is_no_linux_is_said(lines: list[str], words: str) -> None:
    with pytest.raises(SmolshipError, match=words):
        read_facts(Told(lines))


def test_a_device_that_does_not_answer_in_time_is_said() -> None:
    with pytest.raises(RuntimeFailure, match="did not say what it is within 60 s"):
        read_facts(Told(["machine=aarch64"], timed_out=True))


NAMES = st.sampled_from(
    [
        "machine",
        "bits",
        "libc",
        "python",
        "model",
        "features",
        "cores",
        "memory",
        "free",
        "load",
        "throttled",
        "temperature",
    ]
)
LONG = st.integers(1, 4000).map(lambda digits: "9" * digits)
FORMS = st.sampled_from(["{}", "{} kB", "{}.5 0.1 0.1", "/dev 1 1 {} 1% /", "throttled=0x{}", "glibc 2.{}", "{}.{}.1"])
VALUES = st.one_of(st.text(), st.builds(lambda form, number: form.replace("{}", number), FORMS, LONG))
LINES_TOLD = st.lists(st.one_of(st.text(), st.builds(lambda name, value: f"{name}={value}", NAMES, VALUES)))


@given(st.one_of(LINES_TOLD, LINES_TOLD.map(lambda lines: ["machine=aarch64", *lines])))
@settings(deadline=None)
def test_whatever_a_device_answers_is_facts_that_can_be_shown_or_an_error_of_ours(lines: list[str]) -> None:
    try:
        facts, state = read_facts(Told(lines)), read_state(Told(lines))
    except (InputError, RuntimeFailure):
        return
    texts = [facts.machine, facts.kernel, facts.libc, facts.python or "", facts.model, *facts.features]
    assert not any(CONTROL.search(text) for text in texts)
    numbers = [
        facts.memory_total,
        facts.memory_available,
        facts.free,
        state.frequency,
        state.temperature,
        state.load,
        state.busy,
    ]
    assert all(0 <= number < 1e20 for number in numbers if number is not None)
    assert facts.cores >= 1
    disturbances(state, state)
