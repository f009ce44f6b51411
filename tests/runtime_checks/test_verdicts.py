"""Verdicts of a run on a device: where a figure was measured, what is not trusted, and what must be the same there."""

import pytest
from measured import SAME, measured, on_device

from smolship.runtime_checks.measurements import REFUSED, Agreement, Failure, Measurements
from smolship.runtime_checks.verdicts import ALWAYS, Verdict, judge
from smolship.targets import METRICS, load_target
from smolship.targets.target import parse_target

PI = load_target("raspberry-pi-5")
THROTTLED = ("throttled by its firmware",)


def verdicts(measurements: Measurements) -> dict[str, Verdict]:
    return {verdict.metric: verdict for verdict in judge(measurements, PI)}


def test_speed_and_memory_of_the_device_are_judged_and_said_to_be_its_own() -> None:
    found = verdicts(on_device())
    for metric in ("decode", "peak_memory"):
        assert (found[metric].outcome in ("pass", "fail"), found[metric].measured) == (True, "on the device")
    here = verdicts(measured())
    assert {here[metric].outcome for metric in ("decode", "peak_memory")} == {"not measured"}
    assert here["decode"].measured == ""


def test_what_is_of_the_file_or_of_every_logit_is_of_this_host() -> None:
    found = {verdict.metric: verdict for verdict in judge(on_device(), PI, measured())}
    assert {found[metric].measured for metric in ("size", "top1")} == {"on this host"}
    assert {found[metric].measured for metric in ("decode", "tokenizer")} == {"on the device"}
    without = verdicts(on_device())["top1"]
    assert (without.outcome, without.value) == ("not measured", None)
    assert "`smolship check` measures it on this host" in without.shown


def test_speeds_of_a_disturbed_run_are_not_judged_and_all_else_is() -> None:
    slow = on_device(disturbances=THROTTLED)
    for metric, verdict in verdicts(slow).items():
        if METRICS[metric].unit.dimension in ("speed", "time"):
            assert verdict.outcome == "not measured"
            assert verdict.shown.endswith("not trusted: throttled by its firmware")
        else:
            assert "trusted" not in verdict.shown
    assert verdicts(slow)["peak_memory"].outcome in ("pass", "fail")
    assert verdicts(slow)["top1_host"].outcome == "pass"


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, set()),
        ({"top1": 0.98}, set()),  # near ties
        ({"top1": 0.98, "top1_or_near": 0.98}, {"top1_host"}),
        ({"kl_mean": 0.0021}, {"kl_topk_host"}),
        ({"top1_or_near": 0.5, "kl_mean": 1.0}, {"top1_host", "kl_topk_host"}),
    ],
)
def test_a_board_must_compute_what_this_host_computes(change: dict[str, float], failed: set[str]) -> None:
    found = verdicts(on_device(from_host=SAME.model_copy(update=change)))
    assert {metric for metric in ("top1_host", "kl_topk_host") if found[metric].outcome == "fail"} == failed


def test_a_file_that_is_noisy_here_may_be_as_noisy_there_and_its_verdict_says_why() -> None:
    noise = SAME.model_copy(update={"kl_mean": 0.004})
    apart = SAME.model_copy(update={"kl_mean": 0.007})
    noisy = verdicts(on_device(from_host=apart, host_noise=noise))["kl_topk_host"]
    assert (noisy.outcome, noisy.limit) == ("pass", "<= 0.008 nats")
    assert "twice the 0.004 nats by which this host differs from itself" in noisy.source
    quiet = verdicts(on_device(from_host=apart, host_noise=SAME))["kl_topk_host"]
    assert (quiet.outcome, quiet.limit) == ("fail", "<= 0.002 nats")
    assert "itself" not in quiet.source


def test_what_every_device_must_keep_gives_way_to_the_targets_own_limit() -> None:
    lax = parse_target(
        'name = "raspberry-pi-5"\ntitle = "x"\n[device]\narchitecture = "any"\nruntimes = ["gguf"]\n'
        '[[budget]]\nmetric = "top1_host"\nlimit = ">= 90 %"\nsource = "an old board"\n',
        "lax.toml",
    )
    found = judge(on_device(from_host=SAME.model_copy(update={"top1_or_near": 0.95})), lax)
    assert [(one.metric, one.outcome) for one in found if one.metric == "top1_host"] == [("top1_host", "pass")]
    assert {one.metric for one in found} == {*(budget.metric for budget in ALWAYS), "top1_host", "kl_topk_host"}
    assert "top1_host" not in {one.metric for one in judge(measured(), load_target("host"))}


def test_a_runtime_that_cannot_tokenize_there_is_not_measured_with_its_reason() -> None:
    found = verdicts(on_device(tokenizer=None, chat_template=None, unsupported={"tokenize": "the program has none"}))
    for metric in ("tokenizer", "chat_template"):
        assert (found[metric].outcome, found[metric].shown) == ("not measured", "the program has none")
    wrong = verdicts(on_device(tokenizer=Agreement(compared=24, identical=23)))
    assert wrong["tokenizer"].outcome == "fail"


def test_a_runtime_that_failed_there_fails_what_it_did_not_say() -> None:
    crashed = Failure(stage="speed", message="ended by SIGILL", signal="SIGILL")
    found = verdicts(on_device(failure=crashed, from_host=None, decode=None))
    assert {found[metric].outcome for metric in ("top1_host", "decode")} == {"fail"}


def test_an_artefact_that_was_refused_has_failed_no_budget() -> None:
    refused = Measurements(
        subject=measured().subject, reference="", failure=Failure(stage=REFUSED, message="no room on the board")
    )
    found = verdicts(refused)
    assert {verdict.outcome for metric, verdict in found.items() if not metric.endswith("size")} == {"not measured"}
    assert found["tokenizer"].shown == "it was not run"
