"""`devices.toml`: a lab's devices by name and by group, and mistakes that are named with their line."""

from pathlib import Path

import pytest

from smolship.errors import InputError
from smolship.targets import load_devices
from smolship.targets.devices import Devices
from smolship.targets.toml_file import parse_toml

LAB = """\
# two boards and a phone
[[device]]
name = "pi-5"
host = "pi@raspberrypi.local"
target = "raspberry-pi-5"
groups = ["lab", "boards"]

[[device]]
name = "zero"
host = "pi@[fe80::1]:2222"
target = "raspberry-pi-zero-2w"
groups = ["lab"]

[[device]]
name = "phone"
host = "the phone"
target = "android-midrange"
"""


def parsed(text: str = LAB) -> Devices:
    return parse_toml(text, "devices.toml", Devices)


@pytest.mark.parametrize(
    ("names", "group", "chosen"),
    [
        (["zero"], None, ["zero"]),
        ([], "lab", ["pi-5", "zero"]),
        (["phone"], "boards", ["pi-5", "phone"]),
        (["pi-5", "pi-5"], "lab", ["pi-5", "zero"]),
    ],
)
def test_devices_are_chosen_by_name_and_by_group_each_once(
    names: list[str], group: str | None, chosen: list[str]
) -> None:
    assert [one.name for one in parsed().chosen(names, group)] == chosen


def test_a_device_knows_its_target() -> None:
    assert [one.load_target().name for one in parsed().device] == [
        "raspberry-pi-5",
        "raspberry-pi-zero-2w",
        "android-midrange",
    ]


def test_an_unknown_device_or_group_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown device 'pi-6': the known ones are pi-5, zero, phone"):
        parsed().chosen(["pi-6"], None)
    with pytest.raises(InputError, match=r"unknown group 'labs': the known ones are boards, lab"):
        parsed().chosen([], "labs")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('host = "the phone"', "host = 7", 16, "device 3.host: "),
        ('host = "the phone"', 'hots = "the phone"', 16, "device 3.hots: no such key"),
        ('host = "the phone"', 'host = "-oProxyCommand=x"', 14, "device 3: '-oProxyCommand=x' names no device"),
        ('name = "zero"\n', "", 8, "device 2.name: this key is missing"),
        ('name = "zero"', 'name = "zero zero"', 9, "device 2.name: "),
        ('name = "zero"', 'name = ".."', 9, "device 2.name: "),  # a report's folder is called by it
        ('groups = ["lab"]', 'groups = "lab"', 12, "device 2.groups: "),
        ('name = "phone"', 'name = "zero"', 1, "devices.toml, line 1: two devices are called zero"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_key(old: str, new: str, line: int, words: str) -> None:
    assert LAB.count(old) == 1
    with pytest.raises(InputError) as error:
        parsed(LAB.replace(old, new))
    assert f"devices.toml, line {line}" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "device = []", "[device]\nname = 'x'"])
def test_a_file_without_devices_is_no_file_of_devices(text: str) -> None:
    with pytest.raises(InputError, match=r"devices\.toml, line 1, device"):
        parsed(text)


def test_a_wrong_target_is_named_when_the_device_is_taken() -> None:
    wrong = parsed(LAB.replace("android-midrange", "nokia-3310"))
    with pytest.raises(InputError, match="unknown target 'nokia-3310'"):
        wrong.chosen(["phone"], None)[0].load_target()


def test_the_file_is_the_given_one_or_here_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(InputError, match=r"no file of devices devices\.toml: give one with --devices"):
        load_devices(None)
    for number, place in enumerate((tmp_path / "config" / "smolship" / "devices.toml", tmp_path / "devices.toml"), 1):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(LAB.replace("pi-5", f"pi-{number}", 1))
        assert load_devices(None).device[0].name == f"pi-{number}"
    (tmp_path / "mine.toml").write_text(LAB)
    assert load_devices(tmp_path / "mine.toml").device[0].name == "pi-5"
