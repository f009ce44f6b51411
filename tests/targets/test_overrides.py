"""Budgets from the command line: they win over the file's, for every artefact, and a wrong one is named by its text."""

import pytest

from smolship.errors import InputError
from smolship.targets import Target, load_target, with_budgets

HOST = load_target("host")


def limits(target: Target, recipe: str = "q8", parameters: int = 134_515_008) -> dict[str, str]:
    chosen = target.budgets_for(format="gguf", recipe=recipe, bits=8.5, parameters=parameters, context=2048)
    return {budget.metric: str(budget) for budget in chosen}


def test_a_budget_given_wins_over_the_files_and_leaves_the_others() -> None:
    changed = with_budgets(HOST, ["decode >= 30 tok/s", "kl_mean<=0.01nats", " task_accuracy_delta >= -2 pp "])
    given = {"decode": ">= 30.0 tok/s", "kl_mean": "<= 0.01 nats", "task_accuracy_delta": ">= -2.0 pp"}
    assert limits(changed) == limits(HOST) | given
    assert [budget.source for budget in changed.budget[-3:]] == ["given with --budget"] * 3
    assert load_target("host") == HOST


def test_it_is_for_every_artefact() -> None:
    changed = with_budgets(HOST, ["decode >= 30 tok/s"])
    for recipe, parameters in (("q4", 134_515_008), ("anything", 70_000_000_000)):
        assert limits(changed, recipe, parameters)["decode"] == ">= 30.0 tok/s"
    assert with_budgets(HOST, []) == HOST


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed >= 3 tok/s", r"unknown metric 'speed': the known ones are size, .*decode"),
        ("decode <= 30 tok/s", r"points the wrong way: of decode, higher is better \(>=\)"),
        ("decode >= 30", r"'30' has no unit: write one of .*tok/s"),
        ("decode >= 30 MB", r"limits a memory; decode is in tok/s"),
        ("decode >= -30 tok/s", r"below zero"),
        ("decode = 30 tok/s", r"is no limit: write '>=', a number and its unit"),
        ("decode >", r"is no limit"),
        ("decode 30 tok/s", r"is no budget: write a metric, <= or >=, .*'decode >= 30 tok/s'"),
        ("", r"is no budget"),
    ],
)
def test_what_is_no_budget_is_named_by_its_text(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        with_budgets(HOST, ["size <= 100 MB", text])
    assert str(refused.value).startswith(f"--budget {text!r}")
    assert "\n" not in str(refused.value)


def test_two_limits_for_one_metric_contradict_each_other() -> None:
    with pytest.raises(InputError, match="--budget is given more than once for decode: give one limit for a metric"):
        with_budgets(HOST, ["decode >= 30 tok/s", "size <= 100 MB", "decode >= 40 tok/s"])
