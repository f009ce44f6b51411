"""The report: what it says, and that it needs nothing from outside."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from smolship.runtime_checks.chart import Point, scatter
from smolship.runtime_checks.measurements import (
    Agreement,
    Answer,
    Failure,
    Fidelity,
    Host,
    Measurements,
    PeakMemory,
    Resident,
    Speed,
    Subject,
    TextUsed,
)
from smolship.runtime_checks.report import Report, prediction, render, report_of, write_report
from smolship.targets import load_target

LOAD = (0.5, 0.4, 0.3)
HOST = Host(
    cpu="Some CPU",
    features=("avx2",),
    cores=4,
    usable_cores=2,
    threads=2,
    memory_total=8 << 30,
    memory_available=4 << 30,
    machine="x86_64",
    system="Linux 6",
    libc="glibc 2.36",
    python="3.11",
    numpy="2",
    load_average=LOAD,
    load_average_after=LOAD,
)


def measured(recipe: str = "q8", fmt: str = "gguf", *, top1: float = 0.96, quantised: bool = False) -> Measurements:
    """One artefact's measurements, written out as data."""
    subject = Subject(
        name="SmolLM2-135M-Instruct",
        format=fmt,
        recipe=recipe,
        context=2048,
        parameters=134_515_008,
        size=145_000_000,
        model_size=144_810_752,
        bits_per_weight=8.51,
        model_sha256="0" * 64,
        instruct=True,
        already_quantised=quantised,
        stored_as="Q4_1" if quantised else "bfloat16",
    )
    return Measurements(
        subject=subject,
        reference="the same checkpoint in fp32",
        host=HOST,
        runtime={"llama.cpp": "1"},
        after_imports=Resident(peak=42_000_000, rss=42_000_000, anon=22_000_000, file=20_000_000),
        load_seconds=0.2,
        memory=PeakMemory(
            peak=271_000_000,
            sampled_rss=270_000_000,
            anon=105_000_000,
            file=165_000_000,
            shared=0,
            most_anon=105_000_000,
            samples=500,
        ),
        prefill={512: Speed(tokens=512, seconds=(0.6, 0.5, 0.7))},
        first_token=Speed(tokens=64, seconds=(0.1,), warmup_seconds=0.4),
        decode=Speed(tokens=128, seconds=(1.0,)),
        answers=(
            Answer(
                name="capital-of-france",
                prompt="What is the capital of France?",
                expected="Paris",
                text="<script>alert('Paris')</script>",
                right=True,
                stopped=True,
                should_stop=True,
            ),
        ),
        text=TextUsed(name="smolship's evaluation text", sha256="1" * 64, windows=8, length=512),
        fidelity=Fidelity(
            positions=4096,
            windows=8,
            kl_mean=0.004,
            kl_p99=0.02,
            kl_max=0.08,
            top1=top1,
            perplexity=21,
            reference_perplexity=20,
        ),
    )


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
    page = page_of(report_of([measured()], load_target("host")))
    assert {"script", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    assert not re.search(
        r"url\(|@import|https?://(?!www\.w3\.org)", render(report_of([measured()], load_target("host")), "html")
    )
    assert "<script>alert('Paris')</script>" in page.text


def test_it_names_the_conditions() -> None:
    for kind in ("html", "md"):
        text = render(report_of([measured()], load_target("host")), kind)
        for words in (
            "Some CPU",
            "4,096 tokens in 8 windows of 512",
            "the same checkpoint in fp32",
            "0.50 before",
            "2,048 tokens",
        ):
            assert words in text.replace("&#39;", "'")


def test_a_kept_and_a_broken_budget_are_words() -> None:
    good = report_of([measured()], load_target("host"))
    assert good.all_well
    bad = report_of([measured(), measured(fmt="onnx", top1=0.5)], load_target("host"))
    assert not bad.all_well
    assert [each.outcome for each in bad.checked] == ["pass", "fail"]
    assert "fail: q8 onnx" in " ".join(page_of(bad).text.split())
    assert "- top-1 agreement: 50.0 %, limit >= 95.0 %" in render(bad, "md")


def test_another_targets_speed_is_not_measured_here() -> None:
    page = page_of(report_of([measured()], load_target("raspberry-pi-5")))
    text = " ".join(page.text.split())
    assert "measured on this host, which is not Raspberry Pi 5" in text
    assert "– not measured needs the device: Raspberry Pi 5, 8 GB >= 40.0 tok/s" in text


def test_an_already_quantised_source_is_named() -> None:
    words = "its 4-bit figures flatter, because its weights already lie on a 4-bit grid"
    for kind in ("html", "md"):
        assert words in render(report_of([measured(quantised=True)], load_target("host")), kind)
        assert words not in render(report_of([measured()], load_target("host")), kind)


def test_a_runtime_that_failed_is_shown_with_its_last_words() -> None:
    failure = Failure(stage="load", message="ended by SIGILL", signal="SIGILL", errors="<last> words")
    broken = measured().model_copy(update={"failure": failure, "fidelity": None, "host": None, "text": None})
    report = report_of([broken], load_target("host"))
    page = page_of(report)
    assert not report.all_well
    assert "The runtime failed at load: ended by SIGILL" in page.text
    assert "<last> words" in page.text
    assert "the runtime failed at load: ended by SIGILL" in render(report, "md")


def test_the_first_difference_of_a_tokenizer_is_told() -> None:
    agreement = Agreement(compared=24, identical=23, first_difference="'<b>\\n'")
    report = report_of([measured().model_copy(update={"tokenizer": agreement})], load_target("host"))
    assert "Tokenizer agreement, the first difference: '<b>\\n'" in page_of(report).text
    assert "- q8 gguf, tokenizer agreement, the first difference: `` '<b>\\n' ``\n" in render(report, "md")
    for kind in ("html", "md"):
        assert "first difference" not in render(report_of([measured()], load_target("host")), kind)


def test_the_three_files_are_written_and_the_record_reads_back(tmp_path: Path) -> None:
    report = report_of([measured()], load_target("host"))
    paths = write_report(report, tmp_path)
    assert [path.name for path in paths] == ["report.json", "report.html", "report.md"]
    assert Report.model_validate(json.loads(paths[0].read_text())) == report


def test_the_chart_is_inside_its_frame_and_told_in_words() -> None:
    plot = scatter([Point(90, 0.3, "gguf", "q4"), Point(92, 0.31, "onnx", "q4"), Point(145, 0.004, "gguf", "q8")])
    assert all(plot.left <= mark.x <= plot.right and plot.top <= mark.y <= plot.bottom for mark in plot.marks)
    assert [mark.label for mark in plot.marks if mark.labelled] == ["q8", "q4"]
    assert "q8 gguf: 145.0 MB, 0.004" in {mark.told for mark in plot.marks}


@pytest.mark.parametrize(
    "points", [[(1.0, 1.0)], [(0.0, 0.0)], [(1e9, 1e-9), (1e9, 1e-9)], [(5.0, 99.9), (5.1, 100.0)]]
)
def test_ticks_reach_around_any_points(points: list[tuple[float, float]]) -> None:
    plot = scatter([Point(x, y, "gguf", "q4") for x, y in points])
    assert 3 <= len(plot.x_ticks) <= 8
    assert 3 <= len(plot.y_ticks) <= 8
    assert all(plot.left <= mark.x <= plot.right and plot.top <= mark.y <= plot.bottom for mark in plot.marks)


def test_what_was_predicted_stands_beside_what_was_measured() -> None:
    plain = measured("fit-80MB")
    foreseen = plain.subject.model_copy(update={"predicted_divergence": 0.0613})
    made = report_of([plain.model_copy(update={"subject": foreseen}), measured("q8")], load_target("host"))
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
