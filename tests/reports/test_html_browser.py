"""The page in a browser: clicks, links, keys, colours, sizes; each with the script on, and whole without it."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rigmark import reports
from rigmark.bench.document.document import Align, Cell, Code, Column, Document, Fold, Row, Section, Table
from rigmark.bench.sections import document, inputs
from tests.reports import records, watched

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright: no browser can be driven")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; name one in CHROMIUM")

Open = Callable[..., Any]
WAIT_MS = 60_000


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="open_page")
def _open_page(browser: Any) -> Iterator[Open]:
    """Opens a file; what it asks for, complains of or fails at is an error at the end of the test."""
    contexts, faults = [], []

    def opened(path: Path, fragment: str = "", **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.is_navigation_request() or faults.append(request.url))
        page.goto(f"file://{path}{fragment}")
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("html.whole", state="attached")       # everything has its place
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


COLORS = ("red", "green", "blue")


def numbers() -> Table:
    """300 rows in groups of three that may be compared: i counts down, and every tenth is not known."""
    def row(i: int) -> Row:
        known = i % 10 != 0
        return Row(
            id=f"row-{i}", name=f"name-{i}", group=str(i // 3), command=f"rigmark run --batch {i}",
            against=tuple(
                Cell(text="baseline" if j == i % 3 else f"{1 + i % 3 - j + 3}x", value=float(1 + i % 3 - j + 3))
                for j in range(3)
            ),
            cells=(
                Cell(text=f"name-{i}"), Cell(text=COLORS[i % 3]), Cell(text=f"{300 - i} things" if known else "–",
                                                                       value=float(300 - i) if known else None),
                Cell(text="baseline" if i % 3 == 0 else f"{4 + i % 3}x", value=1.0),
            ),
        )

    return Table(
        id="table.numbers", caption="Numbers", ratio=3, rows=tuple(row(i) for i in range(300)),
        columns=(Column(title="name"), Column(title="color"), Column(title="count", align=Align.RIGHT),
                 Column(title="speed-up", align=Align.RIGHT)),
    )


@pytest.fixture(name="grid", scope="module")
def _grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "grid.html"
    sections = (
        Section(id="s", title="Numbers", blocks=(numbers(),)),
        Section(id="f", title="Code", blocks=(Fold(title="more", blocks=(Code(text="rigmark run quick\nsecond"),)),)),
    )
    path.write_text(reports.render("html", Document(title="Grid", summary=(), sections=sections)), encoding="utf-8")
    return path


@pytest.fixture(name="report", scope="module")
def _report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all sections, telemetry among them."""
    root = tmp_path_factory.mktemp("report")
    other = [dataclasses.replace(each, command="rigmark run other") for each in map(watched.trial, range(7))]
    store = records.stored(root, [*records.sweep(), *other])
    readings = watched.readings()
    page = document(dataclasses.replace(
        inputs.read(store), telemetry_of=lambda trial_ids: (dict.fromkeys(trial_ids, readings), ())
    ))
    path = root / "report.html"
    path.write_text(reports.render("html", page), encoding="utf-8")
    return path


def column(page: Any, index: int, table: str = "table.numbers") -> list[str]:
    return [str(text).strip() for text in page.evaluate(
        "([table, index]) => [...document.getElementById(table).querySelectorAll('tbody tr')]"
        ".map((row) => row.cells[index].textContent)", [table, index],
    )]


def test_a_click_on_a_head_sorts_by_value_and_what_is_not_known_stays_last(open_page: Open, grid: Path) -> None:
    page = open_page(grid)
    head = page.get_by_role("columnheader", name="count")
    head.get_by_role("button").click()
    up = column(page, 2)
    assert "ascending" == head.get_attribute("aria-sort")
    head.get_by_role("button").press("Enter")      # the keyboard does it too
    down = column(page, 2)

    assert ["1 things", "2 things"] == up[:2]
    assert ["299 things", "298 things"] == down[:2]
    page.get_by_role("button", name="next").click()
    assert ["–"] * 30 == column(page, 2)[-30:]


def test_a_long_table_has_pages_and_says_what_it_shows(open_page: Open, grid: Path) -> None:
    page = open_page(grid)
    status = page.locator(".shown")
    assert "1 to 200 of 300 rows" == status.inner_text()
    assert 200 == len(column(page, 0))
    page.get_by_role("button", name="next").click()

    assert "201 to 300 of 300 rows" == status.inner_text()
    assert "name-299" == column(page, 0)[-1]
    assert page.get_by_role("button", name="next").is_disabled()


def test_words_and_facets_filter(open_page: Open, grid: Path) -> None:
    page = open_page(grid)
    page.get_by_label("filter rows").fill("NAME NAME-29")
    assert ["name-29", *(f"name-{i}" for i in range(290, 300))] == column(page, 0)
    page.get_by_label("only this color").select_option("blue")

    assert {"blue"} == set(column(page, 1))
    assert "5 of 300 rows" == page.locator(".shown").inner_text()


def test_a_link_holds_the_state_of_the_page(open_page: Open, grid: Path) -> None:
    page = open_page(grid)
    page.get_by_label("filter rows").fill("name-2")
    page.get_by_label("only this color").select_option("green")
    page.get_by_role("columnheader", name="count").get_by_role("button").click()
    page.get_by_role("button", name="compare the others with name-298").click()
    fragment = page.evaluate("location.hash")
    again = open_page(grid, fragment)

    assert "~" in fragment
    assert column(page, 0) == column(again, 0) != []
    assert column(page, 3) == column(again, 3)
    assert "name-2" == again.get_by_label("filter rows").input_value()
    assert "green" == again.get_by_label("only this color").input_value()


def test_a_link_to_a_row_finds_it_on_its_page_and_whatever_is_filtered(open_page: Open, grid: Path) -> None:
    page = open_page(grid, "#row-250")
    assert page.locator("#row-250").is_visible()
    assert page.locator("#row-250").evaluate("(row) => row.classList.contains('here')")
    filtered = open_page(grid, "#row-250~table.numbers.q=name-7")

    assert filtered.locator("#row-250").is_visible()


def test_a_click_chooses_the_baseline_of_its_group_alone(open_page: Open, grid: Path) -> None:
    page = open_page(grid)
    before = column(page, 3)
    page.get_by_role("button", name="compare the others with name-4", exact=True).click()
    after = column(page, 3)

    assert ["3x vs", "baseline vs", "5x vs"] == after[3:6]
    assert before[:3] + before[6:] == after[:3] + after[6:]


def test_copying_gives_the_command_of_the_row_and_the_text_of_code(open_page: Open, grid: Path) -> None:
    page = open_page(grid, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="copy the command that repeats name-5", exact=True).click()
    assert "rigmark run --batch 5" == page.evaluate("navigator.clipboard.readText()")
    page.locator("summary").click()
    page.get_by_role("button", name="copy this text").click()

    assert "rigmark run quick\nsecond" == page.evaluate("navigator.clipboard.readText()")


def test_without_the_script_all_rows_are_there_and_nothing_that_does_nothing(open_page: Open, grid: Path) -> None:
    page = open_page(grid, java_script_enabled=False)

    assert 300 == page.locator("#table\\.numbers tbody tr").count()
    assert page.locator("#row-299").is_visible()
    assert 0 == page.locator("button:visible, input:visible, select:visible, .repeat:visible").count()


def test_a_script_that_came_in_does_not_run_and_nothing_is_fetched(browser: Any, grid: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{grid}")
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.evaluate("""() => {
        document.body.insertAdjacentHTML("beforeend", '<img src="http://127.0.0.1:9/x" onerror="window.ran = 1">');
        const script = document.createElement("script");
        script.textContent = "window.ran = 2";
        document.body.append(script);
    }""")
    page.wait_for_timeout(300)

    assert page.evaluate("window.ran") is None
    assert not asked
    page.close()


# A report with all sections -----------------------------------------------------------------------------------------


def is_blank(png: bytes) -> bool:
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(png)).convert("RGB")
    return len(image.getcolors(1 << 24)) < 4


def test_no_figure_is_blank(open_page: Open, report: Path) -> None:
    page = open_page(report)
    figures = page.locator("svg.figure")
    blank = [each.get_attribute("id") for each in figures.all() if each.is_visible() and is_blank(each.screenshot())]

    assert figures.count() > 5
    assert not blank


@pytest.mark.parametrize("place", ["learning", "environment", "telemetry"])
def test_a_link_leads_to_its_section(place: str, open_page: Open, report: Path) -> None:
    page = open_page(report, f"#{place}")

    assert page.locator(f"#{place}").evaluate("(section) => Math.abs(section.getBoundingClientRect().top)") < 2


def test_telemetry_is_drawn_when_it_is_looked_at_in_light_and_dark(open_page: Open, report: Path) -> None:
    for scheme in ("light", "dark"):
        page = open_page(report, "#telemetry", color_scheme=scheme)
        page.wait_for_selector("[data-drawn]")
        panels = page.locator(".timeline").first.locator(".panel")
        assert panels.count() == page.locator(".timeline").first.locator("canvas").count() > 1
        assert not [panel for panel in panels.all() if is_blank(panel.locator("canvas").screenshot())]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, open_page: Open, report: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(report, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    violations = axe.run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary", "")[:300])
        for each in violations if each["impact"] in ("serious", "critical")
    ]

    assert not serious


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_page_does_not_scroll_sideways(width: int, open_page: Open, report: Path, grid: Path) -> None:
    for path in (report, grid):
        page = open_page(path, viewport={"width": width, "height": 740})

        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_opens_what_is_folded_and_leaves_out_what_is_to_be_clicked(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.emulate_media(media="print")
    table = page.locator(".timeline a[href^='#table']").first.get_attribute("href")

    seen = page.locator("nav:visible, .tools:visible, .base:visible, .copy:visible")
    assert [] == [each.evaluate("node => node.outerHTML.slice(0, 120)") for each in seen.all()]
    assert table
    assert page.locator(f"[id='{table[1:]}'] td").first.is_visible()
    assert page.locator(".timeline .panel").count() == page.locator(".timeline canvas").count() > 1
    assert not [canvas for canvas in page.locator(".timeline canvas").all() if is_blank(canvas.screenshot())]
    pdf = page.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3


def test_a_word_finds_its_parts_of_the_page(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.get_by_label("find a model, precision or condition").fill("inference")

    assert page.locator("section[data-find]:visible").count() > 0
    assert not page.locator(".verdict:visible", has_text="training").count()
    again = open_page(report, page.evaluate("location.hash"))
    assert page.locator(".verdict:visible").count() == again.locator(".verdict:visible").count() > 0


def test_every_section_can_be_reached_by_keyboard(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.keyboard.press("Tab")
    assert "#verdict" == page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("Enter")

    assert "#verdict" == page.evaluate("location.hash")
    scrollable = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((box) => box.tabIndex !== 0).length"
    )
    assert 0 == scrollable
