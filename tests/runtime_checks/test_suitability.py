"""Whether an artefact can run on a device is said before anything is sent there, in one clear sentence."""

from dataclasses import replace

import pytest
from measured import BOARD

from smolship.artefact import Artefact
from smolship.errors import InputError
from smolship.runtime_checks.suitability import (
    SPARE,
    Needs,
    require_room,
    require_runnable,
    require_system,
    require_target,
)
from smolship.targets import Facts, Target, load_target, target_names
from smolship.targets.target import parse_target

MEGABYTE = 1_000_000


def pi_5(**changes: object) -> Facts:
    """A Raspberry Pi 5 that is somehow different."""
    return replace(BOARD, **changes)  # type: ignore[arg-type]  # the fields' own types


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (pi_5(libc="bionic", machine="aarch64"), ["is Android", "bionic", "proot-distro install debian"]),
        (pi_5(machine="armv7l", bits=32), ["armv7l with a 32-bit system", "64-bit", "Raspberry Pi OS 64-bit"]),
        (pi_5(bits=32), ["aarch64 with a 32-bit system"]),
        (pi_5(machine="riscv64"), ["riscv64", "aarch64 and x86_64"]),
        (pi_5(machine="riscv64", bits=None), ["is riscv64, and"]),
        (pi_5(libc="musl libc (aarch64)"), ["C library 'musl libc (aarch64)'", "glibc", "Debian"]),
        (pi_5(libc="unknown"), ["C library 'unknown'"]),
    ],
    ids=["Android", "armv7", "32 bits", "RISC-V", "bits not told", "musl", "unknown"],
)
def test_a_system_that_no_runtime_is_built_for_is_refused_in_a_sentence(facts: Facts, words: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        require_system("the board", facts)
    said = str(refused.value)
    assert said.startswith("the board ")
    assert "\n" not in said
    assert all(word in said for word in words), said


@pytest.mark.parametrize("facts", [BOARD, pi_5(bits=None), pi_5(machine="x86_64"), pi_5(python=None)])
def test_a_64_bit_system_with_glibc_will_do(facts: Facts) -> None:
    require_system("the board", facts)


def test_an_artefact_that_the_memory_cannot_hold_is_refused(tiny_artefact: Artefact) -> None:
    weights = tiny_artefact.manifest.model_bytes
    require_runnable("the board", pi_5(memory_available=weights + SPARE), tiny_artefact)
    require_runnable("the board", pi_5(memory_available=None), tiny_artefact)
    short = pi_5(memory_available=weights + SPARE - 1, memory_total=512 * MEGABYTE)
    with pytest.raises(
        InputError, match=r"-gguf cannot run on the board: its weights alone are .* of 512\.0 MB of mem"
    ):
        require_runnable("the board", short, tiny_artefact)


def test_an_artefact_that_the_storage_has_no_room_for_is_refused() -> None:
    needs = Needs("q8-gguf", files=145 * MEGABYTE, kit=30 * MEGABYTE)
    require_room("the board", pi_5(free=175 * MEGABYTE + SPARE), needs)
    require_room("the board", pi_5(free=None), needs)
    require_room("the board", pi_5(free=0), Needs("q8-gguf", files=0, kit=0))  # all is there
    words = (
        r"the board has no room for q8-gguf: 145\.0 MB of files and 30\.0 MB of programs .*100\.0 MB are free.*clean"
    )
    with pytest.raises(InputError, match=words):
        require_room("the board", pi_5(free=100 * MEGABYTE), needs)


def wanted(**device: str) -> Target:
    """A target with such a device."""
    lines = "\n".join(f"{key} = {value}" for key, value in {"architecture": '"aarch64"', **device}.items())
    return parse_target(f'name = "mine"\ntitle = "my board"\n[device]\nruntimes = ["gguf"]\n{lines}\n', "mine.toml")


@pytest.mark.parametrize(
    ("device", "facts", "words"),
    [
        ({"architecture": '"x86_64"'}, BOARD, "a processor of the kind x86_64, and this one is aarch64"),
        (
            {"cpu_features": '["asimddp", "i8mm", "sve"]'},
            BOARD,
            "the processor features i8mm, sve, which this one lacks",
        ),
        ({"memory": '{ value = "16 GB", source = "its box" }'}, BOARD, "16 GB of memory, and this one has 8,200 MB"),
    ],
    ids=["architecture", "features", "memory"],
)
def test_a_device_that_is_not_its_target_is_refused_with_the_difference(
    device: dict[str, str], facts: Facts, words: str
) -> None:
    with pytest.raises(InputError) as refused:
        require_target("the board", facts, wanted(**device))
    assert str(refused.value).startswith(f"the board is not what target mine describes (my board): that has {words}")


@pytest.mark.parametrize(
    ("device", "facts"),
    [
        ({"architecture": '"any"'}, pi_5(machine="x86_64")),
        ({"cpu_features": '["i8mm"]'}, pi_5(features=())),  # an emulator that lists none is not called wrong
        ({"memory": '{ value = "8 GB", source = "its box" }'}, pi_5(memory_total=7_800 * MEGABYTE)),
        ({"memory": '{ value = "8 GB", source = "its box" }'}, pi_5(memory_total=None)),
    ],
)
def test_what_cannot_be_told_apart_is_taken_for_its_target(device: dict[str, str], facts: Facts) -> None:
    require_target("the board", facts, wanted(**device))


def test_a_pi_5_is_a_pi_5_and_no_other_target() -> None:
    others = [name for name in target_names() if name not in ("host", "raspberry-pi-5")]
    require_target("the board", BOARD, load_target("raspberry-pi-5"))
    require_target("the board", BOARD, load_target("host"))
    zero = pi_5(memory_total=427 * MEGABYTE, features=("asimd", "fp"))
    for name in (*others, "raspberry-pi-5"):
        facts = zero if name != "raspberry-pi-zero-2w" else pi_5(machine="armv7l")
        with pytest.raises(InputError, match=f"is not what target {name} describes"):
            require_target("the board", facts, load_target(name))
