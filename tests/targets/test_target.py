"""Profiles: those that ship are whole, and a wrong file is named with its line and key."""

from importlib.resources import files
from pathlib import Path

import pytest

from smolship.errors import InputError
from smolship.targets import METRICS, load_target, target_names
from smolship.targets.target import parse_target
from smolship.targets.units import UNITS, parse_quantity, show

GOOD = """\
name = "mine"
title = "My board"

[device]
architecture = "aarch64"
runtimes = ["gguf"]
memory = { value = "8 GB", source = "its box" }

[[budget]]
metric = "decode"
limit = ">= 20 tok/s"
source = "a wish"

[[budget]]
metric = "model_size"
limit = "<= 95 MB"
recipe = "q4"
format = "gguf"
max_parameters = 200_000_000
source = "a wish"

[[budget]]
metric = "peak_memory"
limit = "<= 350 MB"
max_context = 2048
source = "a wish"
"""


@pytest.mark.parametrize("name", target_names())
def test_shipped_profile_is_whole(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.budget
    assert target.measured_here == (name == "host")


@pytest.mark.parametrize("name", target_names())
def test_every_number_of_a_shipped_device_has_a_source(name: str) -> None:
    device = load_target(name).device
    for fact in (device.memory, device.memory_for_app, device.bandwidth, device.storage_limit):
        assert fact is None or (parse_quantity(fact.value).value > 0 and fact.source)


def test_a_file_of_your_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    target = load_target(str(path))
    assert [str(budget) for budget in target.budget] == [">= 20.0 tok/s", "<= 95.0 MB", "<= 350.0 MB"]
    assert target.device.memory is not None
    assert target.device.memory.value == "8 GB"


def test_budgets_are_chosen_by_recipe_format_size_and_context() -> None:
    target = parse_target(GOOD, "mine.toml")

    def names(recipe: str, fmt: str, parameters: int, context: int = 8192) -> list[str]:
        chosen = target.budgets_for(format=fmt, recipe=recipe, parameters=parameters, context=context)
        return [each.metric for each in chosen]

    assert names("q4", "gguf", 135_000_000) == ["decode", "model_size"]
    assert names("q8", "gguf", 135_000_000) == ["decode"]
    assert names("q4", "onnx", 135_000_000) == ["decode"]
    assert names("q4", "gguf", 1_700_000_000) == ["decode"]
    assert names("q8", "gguf", 135_000_000, 2048) == ["decode", "peak_memory"]
    assert names("q8", "gguf", 135_000_000, 2049) == ["decode"]


@pytest.mark.parametrize("fmt", ["gguf", "onnx", "executorch"])
def test_the_hosts_memory_is_judged_at_the_context_it_was_stated_for(fmt: str) -> None:
    target = load_target("host")

    def metrics(context: int) -> set[str]:
        chosen = target.budgets_for(format=fmt, recipe="q8", parameters=135_000_000, context=context)
        return {each.metric for each in chosen}

    assert metrics(2048) - metrics(8192) == {"peak_memory"}
    assert metrics(8192) >= {"decode", "top1", "answers"}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('limit = ">= 20 tok/s"', 'limit = ">= 20"', 9, "has no unit"),
        ('limit = ">= 20 tok/s"', 'limit = ">= 20 MB"', 9, "limits a memory"),
        ('limit = ">= 20 tok/s"', 'limit = "<= 20 tok/s"', 9, "wrong way"),
        ('limit = ">= 20 tok/s"', 'limit = "20 tok/s"', 9, "is no limit"),
        ('limit = ">= 20 tok/s"', 'limt = ">= 20 tok/s"', 11, "no such key"),
        ('metric = "decode"', 'metric = "speed"', 10, "unknown metric 'speed'"),
        ('format = "gguf"', 'format = "tflite"', 18, "budget 2.format: "),
        ('format = "gguf"', 'format = "tflite"', 18, "'gguf', 'onnx' or 'executorch'"),
        ("max_context = 2048", "max_context = 0", 25, "budget 3.max_context: "),
        ('runtimes = ["gguf"]', 'runtimes = ["gguf", "tflite"]', 6, "device.runtimes 2: "),
        ('value = "8 GB"', 'value = "8"', 7, "has no unit"),
        ('memory = {', 'memmory = {', 7, "no such key"),
        ('source = "its box"', 'source = ""', 7, "at least 1 character"),
        ('title = "My board"\n', "", 1, "title: this key is missing"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_line_and_key(old: str, new: str, line: int, words: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as error:
        parse_target(GOOD.replace(old, new), "mine.toml")
    assert f"mine.toml, line {line}," in str(error.value)
    assert words in str(error.value)


def test_what_is_not_toml_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"mine\.toml is not TOML: .*line 2"):
        parse_target('name = "mine"\ntitle = mine\n', "mine.toml")


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(GOOD.replace("My board", "Mein Gerät").encode("latin-1"))
    with pytest.raises(InputError, match=r"mine\.toml is not UTF-8 text .*save it as UTF-8"):
        load_target(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"mine\.toml cannot be read \(Is a directory\)"):
        load_target(str(path))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown target 'fridge'.*host.*raspberry-pi-5"):
        load_target("fridge")
    with pytest.raises(InputError, match=r"no target file fridge\.toml"):
        load_target("fridge.toml")


def test_profiles_lie_where_the_package_looks() -> None:
    folder = files("smolship.targets") / "profiles"
    assert {entry.name for entry in folder.iterdir()} == {f"{name}.toml" for name in target_names()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("95 MB", 95e6),
        ("1.5GiB", 1.5 * 2**30),
        ("95 %", 0.95),
        ("200 ms", 0.2),
        ("1_000 tok/s", 1000),
        ("2e-3 nats", 0.002),
    ],
)
def test_quantities_are_read_in_base_units(text: str, value: float) -> None:
    assert parse_quantity(text).value == pytest.approx(value)


@pytest.mark.parametrize("text", ["95", "MB", "-1 MB", "95 parsecs", "", "nan %"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_quantity(text)


def test_values_are_shown_in_the_metrics_unit() -> None:
    assert show(144_810_752, UNITS["MB"]) == "144.8 MB"
    assert show(0.9604, UNITS["%"]) == "96.0 %"
    assert show(0.00396, UNITS["nats"]) == "0.00396 nats"


def test_metrics_are_named_as_their_keys() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
