"""The HTML report in a real browser: drawn without a complaint or a request, fit for a phone, readable by all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from measured import coverage, measured, on_device
from playwright.sync_api import Browser, Page

from smolship.runtime_checks.report import report_of
from smolship.runtime_checks.report.write import write_report
from smolship.targets import Target
from smolship.targets.target import parse_target

DESKTOP, PHONE = 1280, 390
"""pixels across"""


def target(name: str, runtimes: str) -> Target:
    """One with two budgets of a device."""
    return parse_target(
        f'name = "{name}"\ntitle = "the {name}"\n[device]\narchitecture = "any"\nruntimes = {runtimes}\n'
        '[[budget]]\nmetric = "peak_memory"\nlimit = "<= 300 MB"\nsource = "this test"\n'
        '[[budget]]\nmetric = "decode"\nlimit = ">= 3 tok/s"\nsource = "this test"\n',
        f"{name}.toml",
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that one may hold: several artefacts and targets, a device, what passes, fails or was not run."""
    slow = measured(fmt="executorch").decode
    assert slow is not None
    q4 = measured("q4-e8-calibrated", "onnx", top1=0.8)
    worse = q4.fidelity.model_copy(update={"kl_mean": 0.1}) if q4.fidelity else None
    records = [
        measured(),
        on_device(),
        measured(fmt="executorch").model_copy(update={"decode": slow.model_copy(update={"seconds": (100.0,)})}),
        q4.model_copy(update={"fidelity": worse, "coverage": coverage("int4-b32", 0.07)}),
    ]
    here, pi, web = (
        target("here", '["gguf", "onnx", "executorch"]'),
        target("raspberry-pi-5", '["gguf", "onnx", "executorch"]'),
        target("web", '["onnx"]'),
    )
    targets = [here.model_copy(update={"measured_here": True}), pi, web]
    folder = tmp_path_factory.mktemp("report")
    write_report(report_of(records, targets), folder)
    return folder / "report.html"


class Opened:
    """A page, and what it said and asked for."""

    def __init__(self, page: Page, report: Path) -> None:
        self.page, self.said, self.asked = page, list[str](), list[str]()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(report.as_uri())


@pytest.fixture(params=[(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def opened(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield Opened(page, report)
    page.close()


def test_it_says_nothing_on_the_console_and_asks_for_nothing(opened: Opened, report: Path) -> None:
    opened.page.wait_for_load_state("networkidle")
    assert opened.said == []
    assert opened.asked == [report.as_uri()]


def test_nothing_of_it_is_wider_than_the_window(opened: Opened) -> None:
    opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    across, window = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert across <= window


def test_no_rule_of_accessibility_is_broken(opened: Opened) -> None:
    """Contrast, headings of tables, names of regions and pictures, and the rest of axe-core's rules."""
    opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(opened.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_the_matrix_is_right(browser: Browser, report: Path) -> None:
    page = Opened(browser.new_page(), report).page
    assert page.locator("main h2").first.inner_text() == "Verdicts"
    table = page.locator("table.matrix")
    assert table.locator("thead th").all_inner_texts() == [
        "artefact",
        "the here",
        "the raspberry-pi-5",
        "the web",
    ]
    assert table.locator("tbody th").all_inner_texts() == ["q8 gguf", "q8 executorch", "q4-e8-calibrated onnx"]
    fields = [
        [field.split("\n")[0].split(" ", 1)[1] for field in row.locator("td").all_inner_texts()]
        for row in table.locator("tbody tr").all()
    ]
    assert fields == [
        ["pass", "pass", "no runtime"],
        ["fail", "not measured", "no runtime"],
        ["pass", "not measured", "not measured"],
    ]
    assert "decode 1.28 tok/s, limit >= 3.00 tok/s" in table.locator("tbody tr").nth(1).inner_text()
    page.locator("table.matrix tbody tr").nth(1).locator("td a").first.click()
    assert page.url.endswith("#SmolLM2-135M-Instruct-q8-executorch-here")
    assert page.locator("#SmolLM2-135M-Instruct-q8-executorch-here").is_visible()
    page.close()


def test_every_chart_is_drawn_and_has_its_figures_in_a_table(browser: Browser, report: Path) -> None:
    page = Opened(browser.new_page(), report).page
    figures = page.locator("figure").all()
    titles = [figure.locator("figcaption").inner_text() for figure in figures]
    assert titles[0] == "Size against divergence"
    assert "Peak memory, the here" in titles
    assert "Decode, the raspberry-pi-5" in titles
    assert titles[-1] == "q4-e8-calibrated onnx"
    for figure in figures:
        drawing = figure.locator("svg")
        assert drawing.get_attribute("aria-label")
        box = drawing.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 60
        assert figure.locator("table tbody tr").count() > 0
    colours = page.evaluate(
        "[...document.querySelectorAll('figure svg [fill^=\"var(\"]')].map(each => getComputedStyle(each).fill)"
    )
    assert len(set(colours)) > 3  # those of the style sheet, not the black of a colour that is not known
    page.close()
