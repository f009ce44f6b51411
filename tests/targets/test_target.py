"""Targets: budgets are chosen by what an artefact is, and a wrong file is named with its line and key."""

import itertools
from pathlib import Path

import pytest

from smolship.errors import InputError
from smolship.targets import METRICS, load_target
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
        chosen = target.budgets_for(format=fmt, recipe=recipe, bits=4.5, parameters=parameters, context=context)
        return [each.metric for each in chosen]

    assert names("q4", "gguf", 135_000_000) == ["decode", "model_size"]
    assert names("q8", "gguf", 135_000_000) == ["decode"]
    assert names("q4", "onnx", 135_000_000) == ["decode"]
    assert names("q4", "gguf", 1_700_000_000) == ["decode"]
    assert names("q8", "gguf", 135_000_000, 2048) == ["decode", "peak_memory"]
    assert names("q8", "gguf", 135_000_000, 2049) == ["decode"]


def test_a_selector_is_one_name_or_a_list_of_them() -> None:
    text = GOOD.replace('recipe = "q4"', 'recipe = ["q4", "q4-e8"]').replace('"gguf"\nmax', '["gguf", "onnx"]\nmax')
    target = parse_target(text, "mine.toml")
    size = target.budget[1]
    assert size.scope == "q4, q4-e8; gguf, onnx; up to 200M parameters"
    for recipe, fmt in itertools.product(("q4", "q4-e8", "q4-e"), ("gguf", "onnx", "executorch")):
        applies = size.applies_to(format=fmt, recipe=recipe, bits=4.5, parameters=1, context=64)
        assert applies == (recipe != "q4-e" and fmt != "executorch")
    assert parse_target(GOOD, "mine.toml").budget[1].scope == "q4; gguf; up to 200M parameters"


def test_a_file_made_elsewhere_is_chosen_by_its_bits() -> None:
    target = parse_target(GOOD.replace('recipe = "q4"\nformat = "gguf"', "min_bits = 8"), "mine.toml")
    size = target.budget[1]
    assert size.scope == "from 8 bits a weight; up to 200M parameters"
    for bits, applies in ((0, False), (7.999, False), (8, True), (8.055, True), (16, True)):
        assert size.applies_to(format="gguf", recipe="Q8_0", bits=bits, parameters=1, context=64) == applies
    assert [budget.scope for budget in target.budget[::2]] == ["all", "up to 2,048 tokens of context"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('limit = ">= 20 tok/s"', 'limit = ">= 20"', 9, "has no unit"),
        ('limit = ">= 20 tok/s"', 'limit = ">= 20 MB"', 9, "limits a memory"),
        ('limit = ">= 20 tok/s"', 'limit = "<= 20 tok/s"', 9, "wrong way"),
        ('limit = ">= 20 tok/s"', 'limit = "20 tok/s"', 9, "is no limit"),
        ('limit = ">= 20 tok/s"', 'limt = ">= 20 tok/s"', 11, "no such key"),
        ('metric = "decode"', 'metric = "speed"', 10, "unknown metric 'speed'"),
        ('limit = ">= 20 tok/s"', 'limit = ">= -20 tok/s"', 9, "only a difference (pp) can be"),
        ('limit = ">= 20 tok/s"', 'limit = ">= 1e999 tok/s"', 9, "too large"),
        ('format = "gguf"', 'format = "tflite"', 18, "budget 2.format 1: "),
        ('format = "gguf"', 'format = ["gguf", "tflite"]', 18, "budget 2.format 2: "),
        ('format = "gguf"', 'format = "tflite"', 18, "'gguf', 'onnx' or 'executorch'"),
        ('format = "gguf"', 'format = []', 18, "budget 2.format: "),
        ('recipe = "q4"', 'recipe = []', 17, "at least 1 item"),
        ('recipe = "q4"', 'recipe = ""', 17, "at least 1 character"),
        ('recipe = "q4"', 'recipe = ["q4", 8]', 17, "budget 2.recipe 2: "),
        ('recipe = "q4"', 'min_bits = 0', 17, "greater than 0"),
        ('recipe = "q4"', 'min_bits = nan', 17, "finite number"),
        ('recipe = "q4"', 'min_bits = "8"', 17, "budget 2.min_bits: "),
        ('recipe = "q4"', 'max_bits = 8', 17, "no such key"),
        ("max_context = 2048", "max_context = 0", 25, "budget 3.max_context: "),
        ('runtimes = ["gguf"]', 'runtimes = ["gguf", "tflite"]', 6, "device.runtimes 2: "),
        ('value = "8 GB"', 'value = "8"', 7, "has no unit"),
        ('value = "8 GB"', 'value = "0 GB"', 7, "above zero"),
        ('value = "8 GB"', 'value = "8 GB/s"', 7, "'8 GB/s' is no memory: give it in one of B, kB, MB"),
        ('memory = {', 'bandwidth = {', 7, "'8 GB' is no bandwidth: give it in one of B/s, GB/s"),
        ('runtimes = ["gguf"]', 'runtimes = ["gguf"]\nmemory_counts = "all"', 7, "'resident' or 'anonymous'"),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("95 MB", 95e6),
        ("1.5GiB", 1.5 * 2**30),
        ("95 %", 0.95),
        ("200 ms", 0.2),
        ("1_000 tok/s", 1000),
        ("2e-3 nats", 0.002),
        ("-2 pp", -0.02),
    ],
)
def test_quantities_are_read_in_base_units(text: str, value: float) -> None:
    assert parse_quantity(text).value == pytest.approx(value)


@pytest.mark.parametrize("text", ["95", "MB", "-1 MB", "95 parsecs", "", "nan %", "1e400 MB", "inf s"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_quantity(text)


def test_values_are_shown_in_the_metrics_unit() -> None:
    assert show(144_810_752, UNITS["MB"]) == "144.8 MB"
    assert show(0.9604, UNITS["%"]) == "96.0 %"
    assert show(0.00396, UNITS["nats"]) == "0.00396 nats"


def test_metrics_are_named_as_their_keys() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())


def test_a_difference_of_shares_may_be_below_zero() -> None:
    text = GOOD.replace('"decode"', '"task_accuracy_delta"').replace(">= 20 tok/s", ">= -2 pp")
    budget = parse_target(text, "mine.toml").budget[0]
    assert (budget.bound, str(budget)) == (-0.02, ">= -2.0 pp")
    assert budget.holds(-0.019)
    assert not budget.holds(-0.021)
    with pytest.raises(InputError, match=r"limits a share; task_accuracy_delta is in pp"):
        parse_target(text.replace("-2 pp", "2 %"), "mine.toml")
