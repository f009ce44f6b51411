"""How limits are spelt, and the limits that hold by default."""

import pytest

from smolship.errors import InputError
from smolship.runtime_checks.comparison.limits import DEFAULTS, limits_of, parse_limit
from smolship.targets import METRICS


@pytest.mark.parametrize(
    ("text", "old", "allowed", "shown"),
    [
        ("decode=5%", 40.0, 2.0, "5 %"),
        ("decode = 2 tok/s", 40.0, 2.0, "2 tok/s"),
        ("kl_mean=0.005nats", 0.1, 0.005, "0.005 nats"),
        ("size=1MB", 9e7, 1e6, "1 MB"),
        ("size=1MiB", 9e7, 2**20, "1 MiB"),
        ("top1=0.5pp", 0.96, 0.005, "0.5 pp"),
        ("top1=5%", 0.96, 0.048, "5 %"),
        ("task_accuracy_delta=1pp", -0.02, 0.01, "1 pp"),
        ("first_token=20ms", 0.1, 0.02, "20 ms"),
        ("answers=0pp", 1.0, 0.0, "0 pp"),
    ],
)
def test_a_limit_as_it_is_spelt(text: str, old: float, allowed: float, shown: str) -> None:
    limit = parse_limit(text)
    assert limit.allowed(old) == pytest.approx(allowed)
    assert (limit.text, limit.given) == (shown, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decode", "--max-regression 'decode' is no limit: write METRIC=LIMIT, such as decode=5%"),
        ("=5%", "is no limit: write METRIC=LIMIT"),
        ("speed=5%", "unknown metric 'speed': the known ones are size, model_size"),
        ("decode=", "--max-regression 'decode=': '' is no quantity"),
        ("decode=5", "'5' has no unit: write one of B"),
        ("decode=5MB", "limits a memory; decode takes one in tok/s, or a part of the old value in %"),
        ("top1=0.01nats", "limits a divergence; top1 takes one in pp, or a part of the old value in %"),
        ("size=1pp", "limits a share difference; size takes one in MB"),
        ("task_accuracy_delta=5%", "limits a share; task_accuracy_delta takes one in pp"),
        ("top1=-1pp", "it is how much worse the figure may get, from 0 up"),
        ("decode=-5%", "'-5%' is below zero"),
        ("decode=1e400%", "1e400%"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_text(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_limit(text)
    assert said in str(refused.value)


def test_a_limit_is_given_once() -> None:
    with pytest.raises(InputError, match="decode is given twice"):
        limits_of(["decode=5%", "decode=6%"])


def test_a_given_limit_wins_over_the_default_and_the_others_stay() -> None:
    limits = limits_of(["decode=20%"])
    assert limits["decode"].given
    assert limits["decode"].value == pytest.approx(0.2)
    assert set(limits) == set(DEFAULTS) <= set(METRICS)
    assert not any(limit.given for name, limit in limits.items() if name != "decode")
