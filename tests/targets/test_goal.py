"""Goals: every spelling of a size and a divergence, a target's own budget, and what is neither."""

import pytest

from smolship.errors import InputError
from smolship.targets import Goal, goal_of, load_target, parse_goal
from smolship.targets.target import parse_target

BOARD = """\
name = "board"
title = "A board"

[device]
architecture = "aarch64"
runtimes = ["gguf", "onnx"]

[[budget]]
metric = "model_size"
limit = "<= 81.5 MB"
format = "gguf"
source = "a wish"

[[budget]]
metric = "size"
limit = "<= 100 MB"
source = "a wish"

[[budget]]
metric = "size"
limit = "<= 1 MB"
recipe = "q4"
source = "of another recipe"

[[budget]]
metric = "model_size"
limit = "<= 2 MB"
min_bits = 8
source = "of files in 8 bits: how many a fitted one gets is not known before"
"""


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("80MB", Goal("80MB", model_bytes=80_000_000)),
        (" 92 MB", Goal("92MB", model_bytes=92_000_000)),
        ("80000000", Goal("80000000B", model_bytes=80_000_000)),
        ("80_000_000", Goal("80000000B", model_bytes=80_000_000)),
        ("76.3MiB", Goal("76.3MiB", model_bytes=80_006_348)),
        ("0.0811GB", Goal("0.0811GB", model_bytes=81_100_000)),
        ("kl=0.05", Goal("kl0.05", divergence=0.05)),
        ("kl = 0.05 nats", Goal("kl0.05nats", divergence=0.05)),
    ],
)
def test_a_goal_is_read_as_it_is_written(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


NO_GOALS = ["", "big", "0", "0MB", "-3MB", "80 nats", "80%", "80M", "80 mb", "/", "1e400MB"]
NO_GOALS += ["kl=", "kl=0", "kl=5MB", "kl=abc", "kl=nan", "kl=-1", "kl=1e400"]


@pytest.mark.parametrize("text", NO_GOALS)
def test_what_is_no_goal_is_told_how_goals_are_written(text: str) -> None:
    with pytest.raises(InputError, match=r"^--fit .* is no (size|divergence): .*80MB.*kl=0\.05$"):
        parse_goal(text)


def test_a_target_s_goal_is_its_size_budgets_for_every_recipe() -> None:
    board = parse_target(BOARD, "board.toml")
    goal = goal_of(board, format="gguf", parameters=135_000_000, context=2048)
    assert goal == Goal("board", model_bytes=81_500_000, all_bytes=100_000_000)
    assert goal_of(board, format="onnx", parameters=135_000_000, context=2048) == Goal("board", all_bytes=100_000_000)


def test_a_target_without_a_size_budget_is_no_goal() -> None:
    with pytest.raises(InputError, match="target host has no size budget"):
        goal_of(load_target("host"), format="gguf", parameters=135_000_000, context=2048)
