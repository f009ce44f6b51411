"""Two releases written out as data: what is held against what, what is not judged and why, and what fails the gate."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from measured import measured, on_device

from smolship.errors import InputError
from smolship.runtime_checks.comparison import Comparison, Release, Rerun, Terms, compare_releases, limits_of
from smolship.runtime_checks.comparison import comparable as module
from smolship.runtime_checks.comparison.comparable import CONDITIONS, IN_TURNS, MEMORY, why_not
from smolship.runtime_checks.comparison.comparison import Compared, Pair
from smolship.runtime_checks.comparison.words import lines, notes, summary
from smolship.runtime_checks.comparison.write import markdown, write_comparison
from smolship.runtime_checks.measurements import REFUSED, Failure, Measurements, Speed, TaskScore
from smolship.targets import METRICS

SCHEMA = Path(module.__file__).parent / "comparison.schema.json"


def changed(**fields: Any) -> Measurements:
    """The measurements of `measured`, some of them different."""
    return measured().model_copy(update=fields)


def subject(**fields: Any) -> Measurements:
    return changed(subject=measured().subject.model_copy(update=fields))


def compare(old: Measurements, new: Measurements, *limits: str, **terms: Any) -> Comparison:
    return compare_releases(Release("v1", (old,)), Release("v2", (new,)), Terms(limits_of(limits), **terms))


def only(comparison: Comparison) -> Pair:
    (pair,) = comparison.pairs
    return pair


def line(comparison: Comparison, metric: str) -> Compared:
    (found,) = (one for one in only(comparison).compared if one.metric == metric)
    return found


def test_the_schema_in_the_package_is_the_comparison_s() -> None:
    assert json.loads(SCHEMA.read_text()) == Comparison.model_json_schema()


def test_every_metric_has_its_conditions() -> None:
    timed = {name for name, metric in METRICS.items() if metric.unit.dimension in ("speed", "time")}
    assert set(CONDITIONS) == set(METRICS) - timed
    assert set(IN_TURNS) == {*timed, *MEMORY} - {"sustained"}


def test_a_release_that_is_the_old_one_again_passes_and_changes_nothing() -> None:
    made = compare(measured(), measured())
    assert made.all_well
    assert only(made).same_file
    assert lines(only(made)) == []
    assert {one.outcome for one in only(made).compared} == {"pass", "not judged"}


def test_a_file_that_grew_fails_and_its_line_says_by_how_much() -> None:
    made = compare(measured(), subject(model_size=150_000_000, model_sha256="1" * 64))
    assert (only(made).outcome, made.all_well, only(made).same_file) == ("fail", False, False)
    assert lines(only(made)) == [
        ("size of the model file", "144.8 MB", "150.0 MB", "+3.6 %", "1 % (default)", "fail"),
    ]
    assert "1 fail" in summary(made)
    assert compare(measured(), subject(model_size=150_000_000), "model_size=6MB").all_well


def test_speeds_of_different_times_are_shown_and_not_judged() -> None:
    slower = changed(decode=Speed(tokens=128, seconds=(2.0,)))
    made = compare(measured(), slower)
    assert made.all_well
    assert lines(only(made)) == [
        ("decode", "128.0 tok/s", "64.0 tok/s", "-50.0 %", "5 % (default)", "not judged"),
    ]
    (told,) = (note for note in notes(made) if "decode" in note)
    assert "measured at different times: --rerun measures both side by side" in told


def test_a_limit_that_was_given_and_cannot_be_judged_fails_unless_allowed() -> None:
    made = compare(measured(), measured(), "decode=5%")
    assert (only(made).outcome, made.all_well) == ("undecided", False)
    assert "--allow-unmeasured" in summary(made)
    assert compare(measured(), measured(), "decode=5%", allow_unmeasured=True).all_well


def test_a_limit_on_a_figure_that_nobody_has_fails_unless_allowed() -> None:
    made = compare(measured(), measured(), "sustained=5%")
    assert (made.unused, made.all_well) == (("sustained",), False)
    assert "decode without a pause: a limit was given, and neither side has a figure" in notes(made)
    assert compare(measured(), measured(), "sustained=5%", allow_unmeasured=True).all_well


TEXT, HOST = measured().text, measured().host
assert TEXT is not None
assert HOST is not None
SCORE = TaskScore(name="arc", sha256="2" * 64, rows=100, accuracy=0.5, reference_accuracy=0.51, error=0.01)


@pytest.mark.parametrize(
    ("metric", "fields", "reason"),
    [
        ("kl_mean", {"text": TEXT.model_copy(update={"sha256": "3" * 64})}, "text smolship's evaluation text → "),
        ("top1", {"text": TEXT.model_copy(update={"windows": 4})}, "windows of text 8 × 512 → 4 × 512 tokens"),
        ("perplexity_ratio", {"reference": "another"}, "reference the same checkpoint in fp32 → another"),
        ("peak_memory", {"runtime": {"llama.cpp": "2"}}, "llama.cpp 1 → 2"),
        ("peak_memory", {"runtime": {}}, "llama.cpp 1 → none"),
        ("model_memory", {"host": HOST.model_copy(update={"cpu": "Other"})}, "processor Some CPU → Other"),
        ("file_memory", {"host": HOST.model_copy(update={"threads": 4})}, "threads 2 → 4"),
        ("anonymous_memory", {"host": None}, "the machine is not known"),
        ("peak_memory", {"prefill": {}}, "prompts of other lengths were run"),
        ("answers", {"answers": ()}, "other prompts were asked"),
        ("load_time", {}, "measured at different times: --rerun measures both side by side"),
        ("sustained", {}, "measured at different times, and --rerun does not measure it"),
        ("size", {"text": None, "host": None, "runtime": {}}, ""),
    ],
)
def test_what_has_to_be_the_same(metric: str, fields: dict[str, Any], reason: str) -> None:
    assert why_not(metric, measured(), changed(**fields)).startswith(reason)
    assert bool(why_not(metric, measured(), changed(**fields))) == bool(reason)


def test_accuracy_is_of_the_same_questions() -> None:
    old, fewer = changed(tasks=(SCORE,)), changed(tasks=(SCORE.model_copy(update={"rows": 99}),))
    worse = changed(tasks=(SCORE.model_copy(update={"accuracy": 0.48}),))
    assert line(compare(old, fewer), "task_accuracy_delta").reason == "other multiple-choice questions were asked"
    assert line(compare(old, worse), "task_accuracy_delta").outcome == "fail"


def test_a_device_is_compared_with_itself_and_never_with_this_host() -> None:
    old = Release("v1", (measured(), on_device()))
    new = Release("v2", (measured(), on_device(sustained=None)))
    made = compare_releases(old, new, Terms(limits_of([])))
    assert [pair.place for pair in made.pairs] == ["this host", "pi"]
    told = {one.metric: one.reason for one in made.pairs[1].compared}
    assert told["decode"] == "measured at different times, and --rerun measures on this host alone"
    assert told["sustained"] == "the new one has none"
    with pytest.raises(InputError, match="v1 and v2 have no artefact in common"):
        compare(measured(), on_device())


def test_a_lost_artefact_fails_unless_allowed_and_a_new_one_is_told() -> None:
    old, new = Release("v1", (measured(), measured("q4"))), Release("v2", (measured(), measured(fmt="onnx")))
    made = compare_releases(old, new, Terms(limits_of([])))
    assert not made.all_well
    assert made.removed == ("SmolLM2-135M-Instruct-q4-gguf",)
    assert made.added == ("SmolLM2-135M-Instruct-q8-onnx",)
    assert notes(made)[1] == (
        "Removed: SmolLM2-135M-Instruct-q4-gguf is in v1 alone (build and check it, or say --allow-removed)"
    )
    assert compare_releases(old, new, Terms(limits_of([]), allow_removed=True)).all_well


def test_one_artefact_twice_on_a_side_is_refused() -> None:
    twice = Release("v2", (measured(), measured(top1=0.9)))
    with pytest.raises(InputError, match="v2 tells of SmolLM2-135M-Instruct-q8-gguf twice"):
        compare_releases(Release("v1", (measured(),)), twice, Terms(limits_of([])))


FAILED = Failure(stage="load", message="ended by SIGILL")
TURNED_AWAY = Failure(stage=REFUSED, message="needs asimddp")


@pytest.mark.parametrize(
    ("old", "new", "outcome", "words"),
    [
        (None, FAILED, "failed to run", "load: ended by SIGILL"),
        (FAILED, FAILED, "failed to run", "load: ended by SIGILL"),
        (FAILED, None, "pass", ""),
        (None, TURNED_AWAY, "fail", "refused: needs asimddp"),
        (TURNED_AWAY, TURNED_AWAY, "pass", "refused: needs asimddp"),
    ],
)
def test_a_runtime_that_fails(old: Failure | None, new: Failure | None, outcome: str, words: str) -> None:
    made = compare(changed(failure=old), changed(failure=new))
    assert (only(made).outcome, only(made).failure) == (outcome, words)


def rounds(decode: float, load: float = 0.2) -> tuple[Measurements, ...]:
    """Six rounds that are all the same."""
    return (changed(decode=Speed(tokens=128, seconds=(decode,)), load_seconds=load),) * 6


def test_what_was_measured_in_turns_is_judged_and_takes_the_place_of_older_figures() -> None:
    reruns = {measured().subject.name_of_file: Rerun(rounds(1.0), rounds(1.1))}
    made = compare(measured(), changed(decode=Speed(tokens=128, seconds=(9.0,))), reruns=reruns)
    assert only(made).outcome == "fail"
    assert lines(only(made)) == [
        ("decode", "128.0 tok/s", "116.4 tok/s", "-9.1 % (-9.1 to -9.1)", "5 % (default)", "fail"),
    ]
    assert line(made, "peak_memory").rounds is not None
    conditions = only(made).conditions
    assert conditions is not None
    assert (conditions.rounds, conditions.threads, len(conditions.load)) == (6, 2, 12)
    assert notes(made)[-1].startswith("Measured in turns: 6 rounds, 2 threads, Some CPU, load 0.5 to 0.5")


def test_the_same_files_are_not_measured_again_and_pass_a_limit_on_speed() -> None:
    reruns = {measured().subject.name_of_file: Rerun(same_files=True)}
    made = compare(measured(), measured(), "decode=1%", reruns=reruns)
    assert made.all_well
    assert line(made, "decode").reason == "the same files on the same runtime: not measured"


def test_a_runtime_that_fails_in_turns() -> None:
    reruns = {measured().subject.name_of_file: Rerun(failure="the new file failed in round 1, at load: gone")}
    made = compare(measured(), measured(), reruns=reruns)
    assert (only(made).outcome, made.all_well) == ("failed to run", False)
    assert "the new file failed in round 1, at load: gone" in markdown(made)


def test_what_is_not_as_it_was_is_said() -> None:
    new = subject(context=4096).model_copy(update={"runtime": {"llama.cpp": "2"}})
    assert only(compare(measured(), new)).changed == ("context 2,048 → 4,096 tokens", "llama.cpp 1 → 2")
    assert "q8 gguf: context 2,048 → 4,096 tokens; llama.cpp 1 → 2" in notes(compare(measured(), new))


def test_the_files_that_are_written(tmp_path: Path) -> None:
    made = compare(measured(), subject(size=200_000_000))
    paths = write_comparison(made, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["comparison.json", "comparison.md"]
    written = json.loads(paths[0].read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert Comparison.model_validate_json(paths[0].read_text()) == made
    text = paths[1].read_text()
    assert text.startswith("## smolship compare: FAIL\n")
    assert "| q8 gguf | **fail** | " in text
    assert "| size of all that ships | 145.0 MB | 200.0 MB | +37.9 % | 1 % (default) | **fail** |\n" in text
    assert "| decode |" not in text
    assert "| decode | 128.0 tok/s | 128.0 tok/s | same |" in markdown(made, every=True)
