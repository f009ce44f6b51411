"""The profiles that ship: each is whole, says of every number how it came about, and contradicts nothing of its own."""

import itertools
import re
from importlib.resources import files

import pytest

from smolship.targets import load_target, target_names
from smolship.targets.units import parse_quantity

FACTS = ("memory", "memory_for_app", "address_space", "bandwidth", "storage_limit")
KINDS = r"(published|measured|estimate|inference|proposal|arithmetic)\b"
"""how a number came about; every source of a shipped profile begins with one"""
MODELS = {"135M": 134_515_008, "360M": 361_821_120, "1.7B": 1_711_376_384}


@pytest.mark.parametrize("name", target_names())
def test_shipped_profile_is_whole(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.title
    assert target.measured_here == (name == "host")
    chosen = {
        budget.metric
        for budget in target.budgets_for(
            format=target.device.runtimes[0], recipe="q8", bits=8.5, parameters=MODELS["135M"], context=2048
        )
    }
    assert chosen >= {"size", "decode", "first_token", "kl_mean", "top1"}
    assert chosen & {"peak_memory", "anonymous_memory"}
    assert chosen & {"prefill_64", "prefill_512"}


@pytest.mark.parametrize("name", target_names())
def test_every_number_of_a_shipped_profile_says_how_it_came_about(name: str) -> None:
    target = load_target(name)
    facts = [fact for each in FACTS if (fact := getattr(target.device, each)) is not None]
    assert facts or name == "host"
    for source in (*(fact.source for fact in facts), *(budget.source for budget in target.budget)):
        assert re.match(KINDS, source), source


@pytest.mark.parametrize("name", target_names())
def test_no_shipped_budget_is_hidden_by_a_later_one_that_is_as_wide(name: str) -> None:
    seen: set[tuple[object, ...]] = set()
    for budget in reversed(load_target(name).budget):
        selected = (budget.recipe, budget.format, budget.min_bits, budget.max_parameters, budget.max_context)
        assert (budget.metric, *selected) not in seen
        assert (budget.metric, None, None, None, None, None) not in seen
        seen.add((budget.metric, *selected))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [name for name in target_names() if name != "host"])
def test_no_model_may_take_more_than_its_device_gives_an_app(name: str, model: str) -> None:
    device = load_target(name).device
    budgets = load_target(name).budgets_for(
        format=device.runtimes[0], recipe="q8", bits=8.5, parameters=MODELS[model], context=2048
    )
    (limit,) = (budget for budget in budgets if budget.metric == device.memory_metric)
    assert device.memory_for_app is not None
    given = parse_quantity(device.memory_for_app.value).value
    assert limit.bound <= given
    for most in filter(None, (device.memory, device.address_space)):
        assert given < parse_quantity(most.value).value


def test_the_fewer_weights_the_faster_and_smaller() -> None:
    for name in target_names():
        target = load_target(name)
        found = [
            {
                budget.metric: budget
                for budget in target.budgets_for(
                    format=target.device.runtimes[0], recipe="q8", bits=8.5, parameters=parameters, context=2048
                )
            }
            for parameters in MODELS.values()
        ]
        for small, large in itertools.pairwise(found):
            for metric in small.keys() & large.keys():
                assert not small[metric].holds(large[metric].bound) or small[metric].bound == large[metric].bound


def test_profiles_lie_where_the_package_looks() -> None:
    folder = files("smolship.targets") / "profiles"
    assert {entry.name for entry in folder.iterdir()} == {f"{name}.toml" for name in target_names()}


@pytest.mark.parametrize("fmt", ["gguf", "onnx", "executorch"])
def test_the_hosts_memory_is_judged_at_the_context_it_was_stated_for(fmt: str) -> None:
    target = load_target("host")

    def metrics(context: int) -> set[str]:
        chosen = target.budgets_for(format=fmt, recipe="q8", bits=8.5, parameters=135_000_000, context=context)
        return {each.metric for each in chosen}

    assert metrics(2048) - metrics(8192) == {"peak_memory", "anonymous_memory", "file_memory"}
    assert metrics(8192) >= {"decode", "top1", "answers"}


@pytest.mark.parametrize("fmt", ["gguf", "onnx", "executorch"])
def test_the_host_has_a_budget_for_every_kind_of_figure_of_what_ships_by_default(fmt: str) -> None:
    kinds = {"size", "model_size", "peak_memory", "anonymous_memory", "file_memory", "prefill_512", "prefill_64"}
    kinds |= {"decode", "first_token", "load_time", "kl_mean", "kl_p99", "top1", "perplexity_ratio", "answers", "stops"}
    for recipe, bits in (("q8", 8.06), ("q4-e8-calibrated", 5.3)):
        chosen = load_target("host").budgets_for(
            format=fmt, recipe=recipe, bits=bits, parameters=MODELS["135M"], context=2048
        )
        assert {budget.metric for budget in chosen} == kinds


def test_the_host_holds_a_file_made_elsewhere_to_what_its_bits_promise() -> None:
    def limits(bits: float) -> dict[str, str]:
        chosen = load_target("host").budgets_for(
            format="gguf", recipe="Q8_0", bits=bits, parameters=MODELS["360M"], context=8192
        )
        return {budget.metric: str(budget) for budget in chosen}

    assert limits(4.5) == {"answers": ">= 25.0 %", "stops": ">= 50.0 %", "kl_mean": "<= 0.7 nats"}
    harmless = {"kl_mean": "<= 0.05 nats", "top1": ">= 90.0 %", "perplexity_ratio": "<= 1.05 x"}
    assert limits(8.5) == limits(4.5) | harmless
