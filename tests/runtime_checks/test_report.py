"""The report: what it says, and that it needs nothing from outside."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from measured import BOARD, DOING, measured, on_device

from smolship.errors import InputError
from smolship.runtime_checks.measurements import REFUSED, Agreement, Failure, OnDevice
from smolship.runtime_checks.report import Report, report_of
from smolship.runtime_checks.report import report as module
from smolship.runtime_checks.report.figures import prediction
from smolship.runtime_checks.report.page import render
from smolship.runtime_checks.report.write import write_report
from smolship.targets import load_target

SCHEMA = Path(module.__file__).parent / "report.schema.json"
PI = load_target("raspberry-pi-5")


class Page(HTMLParser):
    """Reads a page: its text, and everything that could load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.references, self.tags = "", list[str](), list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " " if tag in ("td", "th", "dd", "dt") else ""  # cells are words apart
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(report: Report) -> Page:
    return Page(render(report, "html"))


def test_the_page_needs_nothing_from_outside_and_runs_nothing() -> None:
    page = page_of(report_of([measured()], [load_target("host")]))
    assert {"script", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    assert not re.search(
        r"url\(|@import|https?://(?!www\.w3\.org)", render(report_of([measured()], [load_target("host")]), "html")
    )
    assert "<script>alert('Paris')</script>" in page.text


def test_it_names_the_conditions() -> None:
    for kind in ("html", "md"):
        text = render(report_of([measured()], [load_target("host")]), kind)
        for words in (
            "Some CPU",
            "4,096 tokens in 8 windows of 512",
            "the same checkpoint in fp32",
            "0.50 before",
            "2,048 tokens",
        ):
            assert words in text.replace("&#39;", "'")


def test_a_kept_and_a_broken_budget_are_words() -> None:
    good = report_of([measured()], [load_target("host")])
    assert good.all_well
    bad = report_of([measured(), measured(fmt="onnx", top1=0.5)], [load_target("host")])
    assert not bad.all_well
    assert [each.judged[0].outcome for each in bad.checked] == ["pass", "fail"]
    assert "fail: not all of this may ship" in " ".join(page_of(bad).text.split())
    assert "- top-1 agreement: 50.0 %, limit >= 95.0 %" in render(bad, "md")


def test_another_targets_speed_is_not_measured_here_and_fails_the_gate_unless_that_is_allowed() -> None:
    made = report_of([measured()], [PI])
    text = " ".join(page_of(made).text.split())
    assert "Nothing here was measured on the device for Raspberry Pi 5, 8 GB" in text
    assert "– not measured needs the device: Raspberry Pi 5, 8 GB >= 40.0 tok/s" in text
    assert (made.checked[0].judged[0].outcome, made.all_well) == ("not measured", False)
    allowed = report_of([measured()], [PI], allow_unmeasured=True)
    assert (allowed.checked[0].judged[0].outcome, allowed.all_well) == ("pass", True)
    for kind, words in (("html", "which was allowed"), ("md", "which was allowed")):
        assert words in render(allowed, kind)  # type: ignore[arg-type]  # one of the two


def test_an_already_quantised_source_is_named() -> None:
    words = "its 4-bit figures flatter, because its weights already lie on a 4-bit grid"
    for kind in ("html", "md"):
        assert words in render(report_of([measured(quantised=True)], [load_target("host")]), kind)
        assert words not in render(report_of([measured()], [load_target("host")]), kind)


def test_a_runtime_that_failed_is_shown_with_its_last_words() -> None:
    failure = Failure(stage="load", message="ended by SIGILL", signal="SIGILL", errors="<last> words")
    broken = measured().model_copy(update={"failure": failure, "fidelity": None, "host": None, "text": None})
    report = report_of([broken], [load_target("host")])
    page = page_of(report)
    assert not report.all_well
    assert "The runtime failed on this host at load: ended by SIGILL" in page.text
    assert "<last> words" in page.text
    assert "the runtime failed at load: ended by SIGILL" in render(report, "md")


def test_the_first_difference_of_a_tokenizer_is_told() -> None:
    agreement = Agreement(compared=24, identical=23, first_difference="'<b>\\n'")
    report = report_of([measured().model_copy(update={"tokenizer": agreement})], [load_target("host")])
    assert "Tokenizer agreement, the first difference: '<b>\\n'" in page_of(report).text
    assert "- q8 gguf, tokenizer agreement, the first difference: `` '<b>\\n' ``\n" in render(report, "md")
    for kind in ("html", "md"):
        assert "first difference" not in render(report_of([measured()], [load_target("host")]), kind)


def test_the_files_are_written_and_the_record_reads_back(tmp_path: Path) -> None:
    report = report_of([measured()], [load_target("host")])
    paths = write_report(report, tmp_path / "new")
    assert [path.name for path in paths] == ["report.json", "report.html", "report.md", "report.xml"]
    assert Report.model_validate(json.loads(paths[0].read_text())) == report
    jsonschema.validate(json.loads(paths[0].read_text()), json.loads(SCHEMA.read_text()))


def test_the_schema_in_the_package_is_the_reports() -> None:
    assert json.loads(SCHEMA.read_text()) == Report.model_json_schema()


def test_what_was_predicted_stands_beside_what_was_measured() -> None:
    plain = measured("fit-80MB")
    foreseen = plain.subject.model_copy(update={"predicted_divergence": 0.0613})
    made = report_of([plain.model_copy(update={"subject": foreseen}), measured("q8")], [load_target("host")])
    for kind in ("html", "md"):
        text = render(made, kind)
        assert text.count("ean KL divergence: predicted 0.0613 nats, measured 0.004 nats") == 1
    assert "fit-80MB gguf, mean KL divergence: predicted" in render(made, "md")


def test_a_prediction_without_a_measurement_is_shown_as_that() -> None:
    plain = measured("fit-80MB")
    subject = plain.subject.model_copy(update={"predicted_divergence": 0.0613})
    failed = plain.model_copy(update={"subject": subject, "fidelity": None})
    assert prediction(failed) == "mean KL divergence: predicted 0.0613 nats, not measured"
    assert prediction(plain) is None


def test_a_devices_figures_are_said_to_be_measured_on_it() -> None:
    made = report_of([on_device(), on_device("onnx")], [load_target("raspberry-pi-5")])
    text = " ".join(page_of(made).text.split())
    assert "Sizes of the model files and figures measured on pi; speeds are medians." in text
    assert "Nothing here was measured on the device" not in text
    assert "needs the device" not in text
    assert "measured on the device" in text.partition("Budgets of")[2]
    for kind in ("html", "md"):
        shown = render(made, kind).replace("&#39;", "'")
        assert "on the device" in shown
        for words in (
            "pi: Raspberry Pi 5 Model B Rev 1.0, Linux 6.12, glibc 2.36",
            "48.3 °C before, 48.3 °C after",
            "ondemand",
        ):
            assert words in shown
    assert "kl_topk, this run against this host's 0.0004 nats, top-1 99.8%, with near ties 100.0%" in text
    assert "decode, first and last slice of a run without a pause 22.0 and 18.0 tok/s" in text


def test_a_device_is_judged_with_what_this_host_measured_of_the_same_file() -> None:
    alone = report_of([on_device()], [PI])
    assert alone.checked[0].judged[0].outcome == "not measured"  # fidelity takes every logit
    made = report_of([on_device(), measured()], [PI, load_target("host")])
    (one,) = made.checked
    assert [record.place for record in one.records] == ["this host", "pi"]
    assert [(judged.target, judged.measured) for judged in one.judged] == [
        ("raspberry-pi-5", "pi"),
        ("host", "this host"),
    ]
    assert {judged.outcome for judged in one.judged} == {"pass"}


def test_another_device_of_no_target_s_kind_says_nothing_of_its_speed() -> None:
    made = report_of([on_device(), measured()], [load_target("raspberry-pi-zero-2w")])
    (judged,) = made.checked[0].judged
    found = {verdict.metric: verdict for verdict in judged.verdicts}
    assert (judged.measured, found["decode"].outcome) == ("this host", "not measured")
    assert found["size"].outcome == "pass"


def test_a_target_without_the_runtime_neither_passes_nor_fails_a_file() -> None:
    browser = load_target("browser-wasm32")
    made = report_of([measured(), measured(fmt="onnx")], [browser], allow_unmeasured=True)
    assert [one.judged[0].outcome for one in made.checked] == ["no runtime", "pass"]
    assert made.all_well
    assert "the target runs no files of this format" in page_of(made).text


def test_of_two_records_the_newer_counts_and_that_is_said() -> None:
    old = measured(top1=0.5).model_copy(update={"measured_at": datetime(2026, 1, 1, tzinfo=UTC)})
    for records in ([old, measured()], [measured(), old]):
        made = report_of(records, [load_target("host")])
        assert made.all_well
        assert "not that of 2026-01-01 00:00:00" in made.superseded[0]
        assert made.superseded[0] in page_of(made).text
    same = measured()
    assert report_of([same, same], [load_target("host")]).superseded == ()


def test_two_devices_that_are_one_target_cannot_both_speak_for_it() -> None:
    board = on_device().device
    assert board is not None
    twin = on_device(device=board.model_copy(update={"name": "twin"}))
    with pytest.raises(InputError, match=r"several devices that are raspberry-pi-5 \(pi, twin\)"):
        report_of([on_device(), twin], [PI])


def test_a_disturbed_run_is_marked_and_its_speeds_are_shown_and_not_trusted() -> None:
    hot = on_device(disturbances=("throttled by its firmware", "under-voltage: a weak power supply"))
    made = report_of([hot], [load_target("raspberry-pi-5")])
    text = " ".join(page_of(made).text.split())
    assert "pi was disturbed: throttled by its firmware; under-voltage: a weak power supply" in text
    assert "128.0 tok/s, not trusted: throttled by its firmware" in text
    assert "**disturbed**: throttled by its firmware" in render(made, "md")
    assert "isturbed" not in render(report_of([on_device()], [load_target("raspberry-pi-5")]), "html")


def test_an_artefact_that_was_refused_is_not_called_a_runtime_that_failed() -> None:
    failure = Failure(stage=REFUSED, message="pi has no room for <it>")
    made = report_of([on_device(), on_device("onnx", failure=failure)], [load_target("raspberry-pi-5")])
    text = " ".join(page_of(made).text.split())
    assert made.checked[1].judged[0].outcome == "refused"
    assert "Not run on pi: pi has no room for <it>" in text
    assert "runtime failed" not in text
    assert "not run: pi has no room for <it>" in render(made, "md")


def test_what_a_device_calls_itself_is_text_and_no_markup() -> None:
    named = replace(BOARD, model="<b>|board|</b>")
    board = OnDevice(name="<i>pi</i>", target="raspberry-pi-5", facts=named, before=DOING, after=None)
    made = report_of([on_device(device=board)], [load_target("raspberry-pi-5")])
    page = page_of(made)
    assert {"b", "i"}.isdisjoint(page.tags)
    assert "<i>pi</i>: <b>|board|</b>" in page.text
    assert "<b>\\|board\\|</b>" in render(made, "md")


def test_a_report_of_a_device_reads_back(tmp_path: Path) -> None:
    made = report_of([on_device(), on_device("onnx")], [load_target("raspberry-pi-5")])
    assert Report.model_validate_json(write_report(made, tmp_path)[0].read_bytes()) == made


def test_what_a_file_is_called_is_text_and_no_markup_in_charts_neither() -> None:
    evil = "<b>\"'&amp;|</b><script>alert(1)</script>"
    plain = measured()
    named = plain.model_copy(update={"subject": plain.subject.model_copy(update={"recipe": evil})})
    made = report_of([named], [load_target("host")])
    page = page_of(made)
    assert {"b", "script"}.isdisjoint(page.tags)
    assert evil in page.text
    assert "<b>\"'&amp;\\|</b>" in render(made, "md")
