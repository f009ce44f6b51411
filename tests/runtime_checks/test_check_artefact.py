"""A whole check of a tiny artefact on llama.cpp, and every way in which a runtime can fail."""

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, RuntimeFailure
from smolship.reference import Reference
from smolship.runtime_checks.check_artefact import Settings, check_artefact
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.tasks.asked import AskedTask, ask_reference, read_task
from smolship.runtime_checks.tasks.likelihoods import log_likelihoods
from smolship.runtime_checks.tasks.runners import FullPrecision, open_runner
from smolship.runtime_checks.tasks.scores import values as row_values
from smolship.runtime_checks.verdicts import judge, values
from smolship.runtime_checks.windows import ReferenceWindows, windows
from smolship.targets import METRICS, Exit, Local, load_target
from smolship.targets.lines import OnLine

SETTINGS = Settings(threads=1, repeats=2)
QUESTIONS = [
    {"id": "a", "query": "The sun rises in the", "choices": ["east", "west"], "gold": 0},
    {"id": "b", "query": "Two and two are", "choices": ["five", "four", "a great many"], "gold": 1},
    {"id": "c", "query": "Ice is", "choices": ["cold", "hot"], "gold": 0},
]


@pytest.fixture(scope="module")
def asked(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> AskedTask:
    """Three questions, and what the reference says to them."""
    path = tmp_path_factory.mktemp("task") / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    task = read_task(path, tiny_checkpoint.tokenizer, 256)
    return ask_reference(FullPrecision(Reference.from_checkpoint(tiny_checkpoint)), task)


@pytest.fixture(scope="module")
def measured(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows, asked: AskedTask
) -> Measurements:
    """One check of the tiny artefact."""
    return check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, SETTINGS, tasks=[asked])


def test_every_metric_is_measured(measured: Measurements) -> None:
    assert measured.failure is None
    found = values(measured)
    assert list(found) == list(METRICS)
    missing = [name for name, value in found.items() if value is None]
    assert missing == ["kl_topk", "kl_topk_host", "top1_host", "sustained"]  # what a run on a device has besides
    assert found["tokenizer"] == 1
    assert found["chat_template"] == 1


def test_questions_are_scored_as_the_runtime_in_this_process_scores_them(
    measured: Measurements, asked: AskedTask, tiny_artefact: Artefact
) -> None:
    (score,) = measured.tasks
    runner = open_runner(tiny_artefact, 1)
    mine = row_values(asked.task.rows, [log_likelihoods(runner, of_row) for of_row in asked.task.choices])
    assert (score.name, score.rows) == ("questions.jsonl", 3)
    assert (score.accuracy, score.reference_accuracy) == (mine.right.mean(), asked.reference.mean())


def test_a_question_that_does_not_fit_is_named(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps(QUESTIONS[0]))
    with pytest.raises(InputError, match=r"long.jsonl, row a: \d+ tokens do not fit an artefact made for 4"):
        read_task(tmp_path / "long.jsonl", tiny_checkpoint.tokenizer, 4)


def test_eight_bits_are_close_to_the_reference(measured: Measurements) -> None:
    assert measured.fidelity is not None
    assert measured.fidelity.positions == 600
    assert measured.fidelity.top1 > 0.9
    assert 0 < measured.fidelity.kl_mean < 0.01
    assert measured.fidelity.perplexity_ratio == pytest.approx(1, abs=0.05)


def test_the_run_is_described(measured: Measurements, tiny_artefact: Artefact) -> None:
    assert measured.host is not None
    assert measured.host.threads == 1
    assert measured.host.load_average_after is not None
    assert "llama.cpp" in measured.runtime
    assert measured.text is not None
    assert (measured.text.windows, measured.text.length) == (3, 200)
    assert measured.subject.model_size == tiny_artefact.model_path.stat().st_size
    assert {answer.name for answer in measured.answers} >= {"capital-of-france"}


def test_measurements_are_written_and_read_again(measured: Measurements, tmp_path: Path) -> None:
    measured.write(tmp_path)
    assert Measurements.read(tmp_path) == measured
    assert [path.name for path in tmp_path.iterdir()] == ["measurements.json"]


def test_measurements_that_are_not_there_or_not_ours_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no measurements\.json"):
        Measurements.read(tmp_path)
    (tmp_path / "measurements.json").write_text('{"measurements_version": 99}')
    with pytest.raises(InputError, match="run `smolship check` again"):
        Measurements.read(tmp_path)


def test_device_figures_count_for_the_host_alone(measured: Measurements) -> None:
    here = {verdict.metric: verdict for verdict in judge(measured, load_target("host"))}
    board = {verdict.metric: verdict for verdict in judge(measured, load_target("raspberry-pi-5"))}
    assert here["decode"].outcome == "pass"
    assert here["top1"].outcome in ("pass", "fail")
    assert board["decode"].outcome == board["peak_memory"].outcome == "not measured"
    assert board["decode"].value is None
    assert board["top1"].outcome in ("pass", "fail")
    assert board["tokenizer"].outcome == "pass"


class Faulty(Local):
    """This machine, with something done to the probe when a record of a kind comes."""

    def __init__(self, folder: Path, kind: str, number: signal.Signals) -> None:
        super().__init__(folder)
        self._kind, self._number = kind, number

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        shell = ["sh", "-c", 'echo $$ > pid; exec "$@"', "sh", *command]

        def listen(line: str) -> None:
            if f'"record": "{self._kind}"' in line:
                os.kill(int((self.folder / "pid").read_text()), self._number)
            on_line(line)

        return super().run(shell, on_line=listen, timeout=timeout)


@pytest.mark.parametrize(
    ("number", "kind", "stage", "words"),
    [
        (signal.SIGKILL, "imports", "load", "ran out of memory"),
        (signal.SIGILL, "step", "speed", "illegal instruction"),
        (signal.SIGSEGV, "logits", "windows", "crashed"),
    ],
)
def test_a_killed_probe_is_a_result(  # noqa: PLR0917 - parameters and fixtures
    number: signal.Signals,
    kind: str,
    stage: str,
    words: str,
    tmp_path: Path,
    tiny_artefact: Artefact,
    tiny_checkpoint: Checkpoint,
    tiny_reference: ReferenceWindows,
) -> None:
    place = Faulty(tmp_path, kind, number)
    found = check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, SETTINGS, transport=place)
    assert found.failure is not None
    assert (found.failure.signal, found.failure.stage) == (number.name, stage)
    assert words in found.failure.message
    assert found.fidelity is None
    outcomes = {verdict.metric: verdict.outcome for verdict in judge(found, load_target("host"))}
    assert outcomes["top1"] == "fail"


def test_a_hanging_probe_is_ended_and_a_result(
    tmp_path: Path, tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    place = Faulty(tmp_path, "load", signal.SIGSTOP)
    settings = Settings(threads=1, repeats=1, timeout=3)
    start = time.monotonic()
    found = check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, settings, transport=place)
    assert time.monotonic() - start < 10
    assert found.failure is not None
    assert "longer than 3 s" in found.failure.message
    assert not _runs(int((tmp_path / "pid").read_text()))


def test_a_corrupt_model_is_a_result(
    copied_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    copied_artefact.model_path.write_bytes(b"GGUF" + bytes(1000))
    found = check_artefact(copied_artefact, tiny_checkpoint, tiny_reference, SETTINGS)
    assert found.failure is not None
    assert found.failure.stage == "load"
    assert "llama.cpp refused model.gguf" in found.failure.message


def test_logits_that_are_not_finite_are_a_result(
    copied_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(copied_artefact.model_path, "r+")
    embedding = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    embedding.data[300, :2] = np.frombuffer(
        np.float16(np.nan).tobytes(), np.uint8
    )  # the scale of a token's first block
    reader.data.flush()
    found = check_artefact(copied_artefact, tiny_checkpoint, tiny_reference, SETTINGS)
    assert found.failure is not None
    assert found.failure.stage == "windows"
    assert found.failure.message == "the runtime gave logits that are not finite, in window 1"
    assert found.fidelity is None
    assert found.decode is not None  # the rest of the job is measured
    assert found.host is not None
    assert found.host.load_average_after is not None
    outcomes = {verdict.metric: verdict.outcome for verdict in judge(found, load_target("host"))}
    assert (outcomes["top1"], outcomes["tokenizer"]) == ("fail", "pass")


class Rewriting(Local):
    """A device whose runtime decodes one character as another."""

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        def listen(line: str) -> None:
            record = json.loads(line)
            if record["record"] == "tokenized":
                texts = [bytes.fromhex(each) for each in record["bytes"]]
                record["bytes"] = [text.replace(b"quick", b"slow").hex() for text in texts]
            on_line(json.dumps(record))

        return super().run(command, on_line=listen, timeout=timeout)


def test_ids_that_decode_to_another_text_are_seen(
    tmp_path: Path, tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    place = Rewriting(tmp_path)
    found = check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, SETTINGS, transport=place)
    assert found.tokenizer is not None
    assert found.tokenizer.identical == found.tokenizer.compared - 1
    told = "'The quick brown fox jumps over the lazy dog.', of which decoding makes 'The slow brown fox jumps"
    assert found.tokenizer.first_difference is not None
    assert found.tokenizer.first_difference.startswith(told)
    assert found.chat_template is not None
    assert found.chat_template.first_difference is None


@pytest.mark.parametrize(
    ("timeout", "parameters", "seconds"),
    [
        (None, 320, 1800),
        (None, 134_515_008, 1800),
        (None, 200_000_000, 1800),
        (None, 400_000_000, 3600),
        (7.5, 400_000_000, 7.5),
    ],
)
def test_a_larger_model_has_more_time(timeout: float | None, parameters: int, seconds: float) -> None:
    assert Settings(threads=1, timeout=timeout).seconds_for(parameters) == seconds


def test_another_chat_template_is_seen(
    copied_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    data = copied_artefact.model_path.read_bytes()
    assert data.count(b"named SmolLM, trained") == 1
    copied_artefact.model_path.write_bytes(data.replace(b"named SmolLM, trained", b"named SmolXM, trained"))
    found = check_artefact(copied_artefact, tiny_checkpoint, tiny_reference, SETTINGS)
    assert found.chat_template is not None
    assert found.chat_template.identical < found.chat_template.compared
    assert found.chat_template.first_difference == "one turn"
    outcomes = {verdict.metric: verdict.outcome for verdict in judge(found, load_target("host"))}
    assert outcomes["chat_template"] == "fail"


class Garbage(Local):
    """A device that prints what it likes."""

    def __init__(self, folder: Path, line: str) -> None:
        super().__init__(folder)
        self._line = line

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        return super().run(["printf", "%s\\n", self._line], on_line=on_line, timeout=timeout)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("\x1b[31mhello", "not its protocol"),
        ('{"hello": 1}', "another protocol"),
        ('{"protocol": 2, "record": "host"}', "another protocol"),
        ("[1]", "another protocol"),
        ('{"protocol": 1, "record": "surprise"}', "unknown kind 'surprise'"),
        ('{"protocol": 1, "record": "host"}', "'host' is not as agreed"),
        ('{"protocol": 1, "record": "done"}', "'done' is not as agreed"),
        ('{"protocol": 1, "record": "generated", "name": "x"}', "'generated' is not as agreed"),
        ('{"protocol": 1, "record": "logits", "window": 7, "shape": [1, 1]}', "'logits' is not as agreed"),
        (
            '{"protocol": 1, "record": "logits", "window": 0, "shape": [200, 320], "dtype": "<f4", "file": "../../x"}',
            "'logits' is not as agreed",
        ),
    ],
)
def test_what_is_not_the_protocol_is_refused(
    line: str,
    words: str,
    tmp_path: Path,
    tiny_artefact: Artefact,
    tiny_checkpoint: Checkpoint,
    tiny_reference: ReferenceWindows,
) -> None:
    with pytest.raises(RuntimeFailure, match=words):
        check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, SETTINGS, transport=Garbage(tmp_path, line))


def test_an_interrupt_leaves_no_process_and_no_files(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_artefact: Artefact,
    tiny_checkpoint: Checkpoint,
    tiny_reference: ReferenceWindows,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Interrupted(Local):
        def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
            def listen(line: str) -> None:
                if '"record": "load"' in line:
                    seen.extend(_processes_in(place))
                    raise KeyboardInterrupt
                on_line(line)

            return super().run(command, on_line=listen, timeout=timeout)

    place, seen = tmp_path / "place", list[int]()
    place.mkdir()
    with pytest.raises(KeyboardInterrupt):
        check_artefact(tiny_artefact, tiny_checkpoint, tiny_reference, SETTINGS, transport=Interrupted(place))
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert seen  # so that they would have been found
    deadline = time.monotonic() + 2
    while _processes_in(place) and time.monotonic() < deadline:
        time.sleep(0.01)  # those that were killed and not waited for are a moment later
    assert _processes_in(place) == []
    shutil.rmtree(place)


def test_a_context_too_short_for_the_text_is_an_input_error(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tiny_reference: ReferenceWindows
) -> None:
    short = Artefact(tiny_artefact.folder, tiny_artefact.manifest.model_copy(update={"context": 128}))
    with pytest.raises(InputError, match="windows of 200 tokens do not fit"):
        check_artefact(short, tiny_checkpoint, tiny_reference, SETTINGS)


def test_a_text_too_short_is_an_input_error(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("Too short.")
    with pytest.raises(InputError, match=r"short\.txt has .* tokens; 8 windows of 512 need 4096"):
        windows(tiny_checkpoint.tokenizer, path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        windows(tiny_checkpoint.tokenizer, path)


def _processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder: the probe is started in it and its memory's watcher stays there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile, or it is another user's
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
