"""Smoke on devices that are folders of this machine: one that fails does not stop the others."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
from in_process import run
from junitparser import JUnitXml
from rich.console import Console
from smoking import HERE, TARGET, Board, KitOfHere, briefly, use_kit

from smolship import views
from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, LinkLost, SmolshipError
from smolship.progress import Progress
from smolship.runtime_checks import suitability
from smolship.runtime_checks.report import Report
from smolship.targets import Exit, Transport
from smolship.targets.lines import OnLine
from smolship.targets.target import parse_target
from smolship.workflows.build import Order, build
from smolship.workflows.places import Place
from smolship.workflows.smoke import Smoked, smoke, worst_exit
from smolship.workflows.smoke_reports import write_reports

BENCH = parse_target(TARGET, "bench.toml")
HUGE = parse_target(TARGET + 'memory = { value = "900000 GB", source = "a wish" }\n', "huge.toml")


def at(board: Transport) -> Callable[[Progress], "nullcontext[Transport]"]:
    return lambda _progress: nullcontext(board)


def switched_off(_progress: Progress) -> "nullcontext[Transport]":
    raise InputError("cannot reach dead (Connection refused): see that the device is switched on")


class Breaks(Board):
    """A device whose link is lost when the second artefact's probe has begun."""

    probes = 0

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """See `Transport.run`."""
        self.probes += "probe" in command
        if "probe" in command and self.probes == 2:
            raise LinkLost("link lost: the connection to breaks broke")
        return super().run(command, on_line=on_line, timeout=timeout)


class Small(Board):
    """A device that has no room for a second model."""

    def put(self, source: Path, destination: str) -> None:
        """See `Transport.put`."""
        if source.suffix == ".gguf" and list(self.folder.rglob("*.gguf")):
            raise InputError(f"cannot bring {source.name} to small (No space left on device): free some room there")
        super().put(source, destination)


@pytest.fixture(scope="module")
def artefacts(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> list[Artefact]:
    """Two recipes of the tiny model."""
    out = tmp_path_factory.mktemp("artefacts of smoke")
    return [tiny_artefact, build(tiny_checkpoint, out, Order(("q4-e8",), ("gguf",), 1024))[0].artefact]


@pytest.fixture(scope="module")
def lab(
    artefacts: list[Artefact], tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Smoked]:
    """Five devices at once, of which one is well."""
    homes = tmp_path_factory.mktemp("homes")
    for name in ("good", "small", "breaks", "other"):
        (homes / name).mkdir()
    places = [
        Place("good", BENCH, at(Board(homes / "good"))),
        Place("dead", BENCH, switched_off),
        Place("small", BENCH, at(Small(homes / "small"))),
        Place("breaks", BENCH, at(Breaks(homes / "breaks"))),
        Place("other", HUGE, at(Board(homes / "other"))),
    ]
    with pytest.MonkeyPatch.context() as patch:
        use_kit(patch, KitOfHere())
        results = smoke(artefacts, tiny_checkpoint, places, briefly(artefacts, tiny_checkpoint), here=HERE)
    assert [each.place.name for each in results] == [place.name for place in places]
    assert list((homes / "other").iterdir()) == []  # it was asked, and nothing was sent
    return {each.place.name: each for each in results}


def outcomes(one: Smoked) -> list[str]:
    return [checked.judged[0].outcome for checked in one.report.checked] if one.report else []


def test_a_device_that_is_well_has_run_every_artefact_whatever_became_of_the_others(lab: dict[str, Smoked]) -> None:
    good = lab["good"]
    assert (outcomes(good), good.error) == (["pass", "pass"], None)
    assert good.report is not None
    for checked in good.report.checked:
        found = {verdict.metric: verdict.measured for verdict in checked.judged[0].verdicts}
        (record,) = checked.records
        assert (checked.judged[0].measured, record.place) == ("good", "good")
        assert found["top1_host"] == found["kl_topk_host"] == found["tokenizer"] == "on the device"
        assert record.text is not None
        assert (record.text.windows, record.text.length) == (1, 128)
        assert len(record.answers) == 1
        assert record.sustained is None


def test_a_dead_device_has_its_error_and_no_report(lab: dict[str, Smoked]) -> None:
    assert lab["dead"].report is None
    assert "cannot reach dead" in str(lab["dead"].error)


def test_what_was_measured_before_the_link_was_lost_is_kept(lab: dict[str, Smoked]) -> None:
    assert (outcomes(lab["breaks"]), type(lab["breaks"].error)) == (["pass"], LinkLost)


def test_an_artefact_that_there_is_no_room_for_is_refused_and_the_others_run(lab: dict[str, Smoked]) -> None:
    assert (outcomes(lab["small"]), lab["small"].error) == (["pass", "refused"], None)
    assert lab["small"].report is not None
    failure = lab["small"].report.checked[1].records[0].failure
    assert failure is not None
    assert "No space left on device" in failure.message


def test_a_device_that_is_not_its_target_is_not_run(lab: dict[str, Smoked]) -> None:
    assert lab["other"].report is None
    assert "is not what target bench describes (a bench): that has 900000 GB of memory" in str(lab["other"].error)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["good"], 0),
        (["good", "dead"], 2),
        (["good", "small"], 2),
        (["other", "good"], 2),
        (["dead", "breaks", "small"], 3),
        (["good", "dead", "small", "breaks", "other"], 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst(lab: dict[str, Smoked], names: list[str], code: int) -> None:
    assert worst_exit([lab[name] for name in names]) == code


def test_every_device_has_a_report_of_its_own_and_all_are_in_one_xml(
    lab: dict[str, Smoked], artefacts: list[Artefact], tmp_path: Path
) -> None:
    written = write_reports(list(lab.values()), artefacts, tmp_path / "a report", tmp_path / "ci" / "junit.xml")
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        *(f"a report/{name}/report.html" for name in ("good", "small", "breaks")),
        "ci/junit.xml",
    ]
    assert (
        Report.model_validate_json((tmp_path / "a report" / "good" / "report.json").read_bytes()) == lab["good"].report
    )
    assert "Not run" in (tmp_path / "a report" / "small" / "report.html").read_text()
    cases = {
        (case.classname, case.name.removeprefix("TinyLM2-Instruct-")): [type(one).__name__ for one in case.result]
        for suite in JUnitXml.fromfile(str(tmp_path / "ci" / "junit.xml"))
        for case in suite
    }
    well, wrong = [("good", "q8"), ("good", "q4-e8"), ("small", "q8"), ("breaks", "q8")], ["Error"]
    assert cases == {
        (device, f"{recipe}-gguf"): [] if (device, recipe) in well else wrong
        for device in lab
        for recipe in ("q8", "q4-e8")
    }
    alone = write_reports([lab["good"]], artefacts, tmp_path / "alone", None)
    assert alone == [tmp_path / "alone" / "report.html"]
    assert write_reports([lab["dead"]], artefacts, tmp_path / "nothing", None) == []
    assert not (tmp_path / "nothing").exists()


def shown(view: views.View) -> str:
    stream = StringIO()
    view.show(Console(file=stream, width=200, highlight=False), as_json=False)
    return stream.getvalue()


def test_the_view_says_of_each_device_what_became_of_it(lab: dict[str, Smoked]) -> None:
    view = views.smoked(list(lab.values()), [Path("report/good/report.html")])
    text = shown(view)
    for words in (
        "Measured on the device good, held against the budgets of bench",
        "The same file there and here, against the fp32 reference and each other",
        "good: 8 budgets pass, 0 fail: all is well",
        "dead: cannot reach dead (Connection refused)",
        "cannot bring model.gguf to small (No space left on device)",
        "breaks: link lost: the connection to breaks broke",
        "other: other is not what target bench describes",
        "Written: report/good/report.html",
    ):
        assert words in text
    data = json.loads(json.dumps(view.data))
    assert {one["device"]: (one["error"] is None, one["report"] is None) for one in data} == {
        "good": (True, False),
        "dead": (False, True),
        "small": (True, False),
        "breaks": (False, False),
        "other": (False, True),
    }


def test_a_single_devices_error_is_told_once_by_whoever_asked(lab: dict[str, Smoked]) -> None:
    assert "link lost" not in shown(views.smoked([lab["breaks"]], []))


@pytest.mark.usefixtures("kit")
def test_a_device_that_can_run_none_of_them_is_an_error(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suitability, "SPARE", 10**15)
    order = briefly([tiny_artefact], tiny_checkpoint)
    (found,) = smoke([tiny_artefact], tiny_checkpoint, [Place("board", BENCH, at(Board(tmp_path)))], order, here=HERE)
    assert found.report is None
    assert isinstance(found.error, InputError)
    assert "q8-gguf cannot run on board: its weights alone are" in str(found.error)
    assert list(tmp_path.iterdir()) == []


def test_a_target_without_that_runtime_is_an_input_error_before_anybody_is_asked(
    tiny_artefact: Artefact, tiny_checkpoint: Checkpoint
) -> None:
    onnx = parse_target(TARGET.replace('["gguf"]', '["onnx"]'), "onnx.toml")

    def connect(_progress: Progress) -> "nullcontext[Transport]":
        raise AssertionError("it was asked")

    with pytest.raises(SmolshipError, match="does not run gguf; it runs onnx"):
        smoke(
            [tiny_artefact],
            tiny_checkpoint,
            [Place("board", onnx, connect)],
            briefly([tiny_artefact], tiny_checkpoint),
            here=HERE,
        )


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no device": ([], "name a device: --host pi@raspberrypi.local --target raspberry-pi-5, or --device or --group"),
    "no target": (["--host", "pi"], "say with --target what pi is: "),
    "an unknown target": (["--host", "pi", "--target", "nokia-3310"], "unknown target 'nokia-3310'"),
    "a host and a group": (["--host", "pi", "-t", "host", "--group", "lab"], "give one of them"),
    "a target of a group": (["--group", "lab", "-t", "host"], "devices.toml says what each of its devices is"),
    "no file of devices": (["--group", "lab"], "no file of devices devices.toml"),
    "no such file of devices": (["--device", "pi", "--devices", "lab.toml"], "no file of devices lab.toml"),
    "no configuration": (["--host", "pi", "-t", "host", "--ssh-config", "nowhere"], "no SSH configuration nowhere"),
    "no name of a host": (["--host", "-oProxyCommand=x", "-t", "host"], "names no device"),
    "too few tokens": (["--host", "pi", "-t", "host", "--tokens", "9"], "--tokens"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    mistake: str,
    tiny_artefact: Artefact,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments, words = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run(monkeypatch, "smoke", tiny_artefact.folder, "--checkpoint", tiny_folder, *arguments) == 2
    told = capfd.readouterr()
    assert words in told.err
    assert (told.out, "Traceback" in told.err) == ("", False)
    assert list(tmp_path.iterdir()) == []
