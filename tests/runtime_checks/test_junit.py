"""JUnit XML: a case for each device and artefact, what became of it, and nothing in it that XML cannot hold."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, JUnitXml
from junitparser import Failure as Failed
from measured import SAME, measured, on_device

from smolship.runtime_checks.measurements import REFUSED, Failure, Measurements
from smolship.runtime_checks.report import Report, report_of
from smolship.runtime_checks.report.junit import Suite, junit
from smolship.targets.target import parse_target

LIMITED = parse_target(
    'name = "raspberry-pi-5"\ntitle = "a board"\n[device]\narchitecture = "any"\nruntimes = ["gguf", "onnx"]\n'
    '[[budget]]\nmetric = "decode"\nlimit = ">= {least} tok/s"\nsource = "a wish"\n'.replace("{least}", "100"),
    "limited.toml",
)
EXPECTED = ["SmolLM2-135M-Instruct-q8-gguf", "SmolLM2-135M-Instruct-q8-onnx"]
EVIL = "a<b>&\"'\x00\x1b[2Jred\x85\ud800\uffff]]><!--\U0001f600"
SLOWER = measured().decode.model_copy(update={"seconds": (2.0,)})  # type: ignore[union-attr]  # it has one


def report(*measurements: Measurements) -> Report:
    return report_of(measurements, [LIMITED])


def suite(device: str, made: Report | None, error: str) -> Suite:
    """As a smoke test makes it: what a device was to run and did not is told too."""
    checked = made.checked if made else ()
    return Suite(device, tuple((one, one.judged[0]) for one in checked), tuple(EXPECTED[len(checked) :]), error)


def written(reports: dict[str, Report | None], errors: dict[str, str] | None = None) -> JUnitXml:
    """Read again by who wrote it, and by a parser that knows nothing of it."""
    made = junit([suite(name, one, (errors or {}).get(name, "not run")) for name, one in reports.items()])
    assert ET.fromstring(made).tag == "testsuites"  # noqa: S314 - it was made here
    return JUnitXml.fromstring(made)


def results(xml: JUnitXml) -> list[tuple[str, str, list[type]]]:
    """Device, artefact, and the kinds of what went wrong, of every case."""
    return [(case.classname, case.name, [type(one) for one in case.result]) for suite in xml for case in suite]


def test_there_is_a_case_for_every_device_and_artefact() -> None:
    xml = written({"pi": report(on_device(), on_device("onnx")), "zero": report(on_device(), on_device("onnx"))})
    assert [suite.name for suite in xml] == ["pi", "zero"]
    assert results(xml) == [(device, name, []) for device in ("pi", "zero") for name in EXPECTED]
    assert (xml.tests, xml.failures, xml.errors) == (4, 0, 0)


def test_a_failed_budget_is_a_failure_with_its_figure_and_limit() -> None:
    apart = SAME.model_copy(update={"kl_mean": 0.5})
    xml = written({"pi": report(on_device(decode=SLOWER, from_host=apart), on_device("onnx"))})
    assert [kinds for *_, kinds in results(xml)] == [[Failed, Failed], []]
    said = [one.message for suite in xml for case in suite for one in case.result]
    assert "KL divergence from this host, top tokens: 0.5 nats, limit <= 0.002 nats" in said
    assert "decode: 64.0 tok/s, limit >= 100.0 tok/s" in said
    assert (xml.tests, xml.errors) == (2, 0)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(stage="speed", message="ended by SIGILL, an illegal instruction"), "speed: ended by SIGILL"),
        (Failure(stage=REFUSED, message="pi has no room for q8"), "refused: pi has no room"),
    ],
)
def test_what_failed_to_run_or_was_refused_is_an_error(failure: Failure, words: str) -> None:
    xml = written({"pi": report(on_device(failure=failure, decode=None), on_device("onnx"))})
    assert [kinds for *_, kinds in results(xml)] == [[Error], []]
    assert words in str([one.message for suite in xml for case in suite for one in case.result])


def test_an_artefact_that_a_device_was_not_reached_for_is_an_error_there() -> None:
    xml = written({"pi": report(on_device()), "dead": None}, {"pi": "link lost: it broke", "dead": "cannot reach dead"})
    assert results(xml) == [
        ("pi", EXPECTED[0], []),
        ("pi", EXPECTED[1], [Error]),
        ("dead", EXPECTED[0], [Error]),
        ("dead", EXPECTED[1], [Error]),
    ]
    said = [one.message for suite in xml for case in suite for one in case.result]
    assert said == ["link lost: it broke", "cannot reach dead", "cannot reach dead"]


def test_the_figures_are_the_cases_own_words_with_what_was_not_measured() -> None:
    xml = written({"pi": report(on_device(disturbances=("throttled by its firmware",)), on_device("onnx"))})
    said = next(case.system_out for suite in xml for case in suite)
    assert "peak memory: 271.0 MB" in said
    assert "decode: not measured, 128.0 tok/s, not trusted: throttled by its firmware" in said


def test_whatever_a_device_says_is_xml(tmp_path: Path) -> None:
    failure = Failure.model_construct(stage=EVIL, message=EVIL, signal=None, errors="")
    silent = on_device("onnx", tokenizer=None, chat_template=None, unsupported={"tokenize": EVIL}, decode=None)
    made = junit([suite("pi", report(on_device(failure=failure), silent), ""), suite("dead", None, EVIL)])
    (tmp_path / "junit.xml").write_bytes(made)
    assert "\x1b" not in made.decode()
    for xml in (JUnitXml.fromfile(str(tmp_path / "junit.xml")), JUnitXml.fromstring(made)):
        said = str([one.message for suite in xml for case in suite for one in case.result])
        assert "a<b>&" in said
        assert "[2Jred" in said
        assert "\U0001f600" in said
