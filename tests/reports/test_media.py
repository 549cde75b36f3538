"""What holds for every report: it is complete, it is a whole, and it does not do what records say."""

from __future__ import annotations

import dataclasses
import itertools
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from rigmark import reports
from rigmark.bench.document import language
from rigmark.bench.document.document import (
    Bar,
    Bars,
    Cell,
    Code,
    Column,
    Curve,
    Curves,
    Document,
    Dot,
    Family,
    Figure,
    Fold,
    Growth,
    Items,
    Origin,
    Paragraph,
    Roofline,
    Row,
    Section,
    Segment,
    Size,
    SpeedUps,
    StackedBar,
    StackedBars,
    Table,
)
from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UnknownName
from rigmark.reports import svg
from rigmark.reports.media import terminal
from rigmark.reports.plain import printable
from tests.reports import records

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>| a | b |\n# title\n- [x](javascript:alert(1)) ```\n"
    "\x1b[31mred\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link\u202egnp.exe\u2066\u200f\x00\x08 {{ 7 * 7 }} "
    "@all http://evil.example"
)


class Page(HTMLParser):
    """Elements and ids of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def all(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


@pytest.fixture(name="document", scope="module")
def _document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return records.report(records.stored(tmp_path_factory.mktemp("results"), records.sweep()))


@pytest.fixture(name="hostile", scope="module")
def _hostile(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """A report in which every text of every record that may say anything wants to be more than text."""
    case = {**records.case("torch"), "model": HOSTILE, "data": HOSTILE, "build": HOSTILE}
    root = tmp_path_factory.mktemp("hostile")
    store = records.stored(root, [
        _spoilt(records.proof(case)),
        *(_spoilt(records.timing(case, repetition, 0.01)) for repetition in range(7)),
        _spoilt(records.failed(case, Outcome.CRASHED, HOSTILE, last_words=HOSTILE, repetition=7)),
        _spoilt(_hostile_layers(case)),
        *map(_spoilt, records.limit(HOSTILE, "torch", 0.01, samples=3)),
        *map(_spoilt, records.limit("matmul_8", "torch", 0.01, flops=1024)),
    ])
    (root / "records" / "damaged\x1b[2J<b>.json").write_text("{", encoding="utf-8")
    return records.report(store)


def _hostile_layers(case: dict[str, Any]) -> Any:
    """A layer trial of rows that are named badly, done by layers that are named badly."""
    record = records.layer_trial(records.case("torch"), records.step_by_work(records.case("torch"), 0.01))
    rows = [
        {**row, "layer": f"{index} {HOSTILE}", "members": [f"{index} {HOSTILE}", HOSTILE], "op": HOSTILE}
        for index, row in enumerate(record.layers["rows"])
    ]
    doubtful = {"rows": rows, "cover": 0.5, "problem": HOSTILE, "variables": {HOSTILE: HOSTILE},
                "without_kernel": [[HOSTILE, HOSTILE]]}
    return dataclasses.replace(
        record, layers={**record.layers, **doubtful}, identity=dataclasses.replace(record.identity, case=case)
    )


def _spoilt(record: Any) -> Any:
    build = {"python": HOSTILE, "framework_version": HOSTILE, "packages": {HOSTILE: HOSTILE},
             "variables": {HOSTILE: HOSTILE}}
    identity = dataclasses.replace(record.identity, build=build)
    machine = {**records.MACHINE, "cpu": HOSTILE, "gpus": [HOSTILE]}
    return dataclasses.replace(record, identity=identity, machine=machine, command=HOSTILE, run_id=HOSTILE)


@pytest.fixture(name="empty", scope="module")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return records.report(records.stored(tmp_path_factory.mktemp("empty"), []))


def test_a_wrong_medium_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'markdown'"):
        reports.medium("markdwon")


# Complete -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reports.NAMES)
def test_nothing_stored_gives_a_sentence_and_no_table(name: str, empty: Document) -> None:
    text = reports.render(name, empty)

    assert "nothing to report" in text
    assert not re.search(r"<table|^\|", text, re.MULTILINE)


@pytest.mark.parametrize("name", reports.NAMES)
def test_failures_are_listed_with_their_reasons(name: str, document: Document) -> None:
    text = " ".join(re.sub(r"&#39;", "'", reports.render(name, document)).split())

    assert "the worker ended" in text
    assert "Segmentation fault" in text
    assert "unsupported" in text
    assert "tensorflow" in text


@pytest.mark.parametrize("name", reports.NAMES)
def test_two_trials_are_shown_as_two_values_and_six_or_more_as_an_interval(name: str, document: Document) -> None:
    text = reports.render(name, document)

    assert "14,960; 15,040" in text
    assert "668 (659 to 676)" in text
    assert "14,960 (" not in text


@pytest.mark.parametrize("name", reports.NAMES)
def test_a_record_that_cannot_be_read_is_reported(name: str, tmp_path: Path) -> None:
    store = records.stored(tmp_path, [records.proof(records.case("torch"))])
    (tmp_path / "records" / "half.json").write_text('{"schema": 1,', encoding="utf-8")

    assert "half.json" in "".join(reports.render(name, records.report(store)).split())


# Harmless -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reports.NAMES)
def test_no_medium_passes_on_what_a_screen_could_obey(name: str, hostile: Document) -> None:
    text = reports.render(name, hostile)

    assert {"\n"} >= {c for c in text if unicodedata.category(c) in {"Cc", "Cf"}}
    assert "alert" in text      # it is shown


def test_html_shows_hostile_text_as_text(document: Document, hostile: Document) -> None:
    page = Page(reports.render("html", hostile))

    assert page.tags <= Page(reports.render("html", document)).tags
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    files = ("data:text/csv", "data:application/gzip;base64,")
    assert not [url for url in page.all("href") if not url.startswith(("#", *files))]
    assert not page.all("src")


def test_markdown_shows_hostile_text_as_text(hostile: Document) -> None:
    text = reports.render("markdown", hostile)
    outside_code = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)

    assert {"<details>", "<summary>", "</summary>", "</details>"} >= set(re.findall(r"<[^>]*>", outside_code))
    assert "# title" not in re.findall(r"(?m)^#+ .*", outside_code)
    assert not re.search(r"(?<!\\)\]\(|@|http://", outside_code)
    for table in re.findall(r"(?m)(?:^\|.*\n)+", outside_code):
        assert 1 == len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()})


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_terminal_keeps_to_its_width(width: int, document: Document, hostile: Document) -> None:
    for each in (document, hostile):
        text = terminal.render(printable(each), width=width)

        assert width >= max(cell_len(line) for line in text.splitlines())


def test_a_narrow_terminal_wraps_words_and_cuts_none() -> None:
    said = "在一台机器上以多个进程测得，对于其他处理器、这些库的其他版本什么也不能说明"
    bar = Bar(label=said, text=said, value=1.0, low=None, high=None, values=())
    bars = Bars(id="b", title="t", unit="s", bars=(bar,), table="table")
    section = Section(id="s", title=said, blocks=(Items(texts=(said,)), Paragraph(text=said), bars))
    text = terminal.render(Document(title="t", summary=(), sections=(section,)), width=40)

    assert "…" not in text
    assert 5 * said.count("器") == text.count("器")


@pytest.mark.parametrize(("columns", "is_grid"), [(3, True), (12, False)])
def test_a_table_with_too_many_columns_for_its_words_is_a_paragraph_a_row(columns: int, is_grid: bool) -> None:
    heads = tuple(Column(title=f"quantity{number}") for number in range(columns))
    cells = tuple(Cell(text=f"measured{number}") for number in range(columns))
    table = Table(id="t", caption="c", columns=heads, rows=(Row(id="r", cells=cells),))
    section = Section(id="s", title="t", blocks=(table,))
    lines = terminal.render(Document(title="t", summary=(), sections=(section,)), width=60).splitlines()

    assert all(any(cell.text in line for line in lines) for cell in cells)       # no word is broken
    assert ("quantity0  quantity1  quantity2" in lines) is is_grid
    assert any(line.startswith("- measured0 | quantity1 measured1") for line in lines) is not is_grid


def test_half_a_surrogate_pair_can_be_written(empty: Document) -> None:
    document = dataclasses.replace(empty, title="half \ud800 a pair")

    for name in reports.NAMES:
        assert "half � a pair" in reports.render(name, document).encode().decode()


def test_code_keeps_its_lines_and_nothing_else_does() -> None:
    blocks = (Code(text="a\r\n\tb"), Fold(title="t\nu", blocks=(Paragraph(text="c\nd"), Items(texts=("e\nf",)))))

    code, fold = printable(blocks)

    assert Code(text="a\n    b") == code
    assert Fold(title="t u", blocks=(Paragraph(text="c d"), Items(texts=("e f",)))) == fold


# A whole page -------------------------------------------------------------------------------------------------------


def test_the_page_needs_no_network(document: Document) -> None:
    text = reports.render("html", document)
    page = Page(text)

    assert "default-src 'none'" in text
    assert not page.all("src")
    assert "link" not in page.tags
    assert not [url for url in page.all("href") + page.all("src") if "//" in url.split(",")[0]]
    assert not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert "@import" not in text


def test_every_link_leads_somewhere_and_every_id_is_there_once(document: Document, hostile: Document) -> None:
    for each in (document, hostile):
        page = Page(reports.render("html", each))
        ids = page.all("id")

        assert sorted(set(ids)) == sorted(ids)
        assert {url[1:] for url in page.all("href") if url.startswith("#")} <= set(ids)
        assert set(" ".join(page.all("aria-labelledby")).split()) <= set(ids)


def test_headings_leave_no_level_out(document: Document) -> None:
    levels = [int(tag[1]) for tag, _ in Page(reports.render("html", document)).elements if re.fullmatch(r"h\d", tag)]

    assert 1 == levels[0]
    assert 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_page_is_small(document: Document) -> None:
    assert 200_000 > len(reports.render("html", document))


# Figures ------------------------------------------------------------------------------------------------------------


def figures_of(section: Document | Section) -> list[Figure]:
    own = [] if isinstance(section, Document) else [b for b in section.blocks if isinstance(b, Figure)]
    return own + [figure for inner in section.sections for figure in figures_of(inner)]


def test_every_figure_is_xml_with_a_name_and_a_table(document: Document, hostile: Document) -> None:
    for each in (printable(document), printable(hostile)):
        ids = Page(reports.render("html", each)).all("id")
        figures = figures_of(each)
        assert {Bars, StackedBars, Roofline} <= {type(figure) for figure in figures}
        for figure in figures:
            root = ElementTree.fromstring(svg.text(svg.figure(figure)))

            assert figure.title == root.get("aria-label")
            assert figure.table in ids


def test_bars_start_at_zero_and_reach_as_far_as_their_values() -> None:
    bars = tuple(
        Bar(label="torch", text=f"{value}", value=value, low=None, high=None, values=(value,))
        for value in (50.0, 100.0)
    )
    figure = svg.bars(Bars(id="b", title="t", unit="samples/s", bars=bars, table="t"))

    assert [("0", "50.00%"), ("0", "100.00%")] == [(r.get("x"), r.get("width")) for r in figure.iter("rect")]
    assert ["50.00%", "100.00%"] == [dot.get("cx") for dot in figure.iter("circle")]


def test_an_interval_is_a_whisker() -> None:
    bar = Bar(label="torch", text="80 (70 to 90)", value=80.0, low=70.0, high=90.0, values=())
    figure = svg.bars(Bars(id="b", title="t", unit="samples/s", bars=(bar,), table="t"))

    ends = [(line.get("x1"), line.get("x2")) for line in figure.iter("line") if line.get("class") == "whisker"]
    assert ("70.00%", "90.00%") in ends
    assert not list(figure.iter("circle"))


def test_each_origin_has_its_own_fill_and_mark() -> None:
    bars = tuple(
        Bar(label=origin.mark, text="1", value=1.0, low=None, high=None, values=(), origin=origin) for origin in Origin
    )
    figure = svg.bars(Bars(id="b", title="t", unit="samples/s", bars=bars, table="t"))

    assert 4 == len({rect.get("fill") for rect in figure.iter("rect")})
    assert 4 == len({origin.mark for origin in Origin})


def test_a_loss_that_is_not_a_number_leaves_a_gap() -> None:
    curve = Curve(label="torch", values=(2.0, 1.0, float("nan"), 1.0, float("inf"), 0.5))
    figure = svg.curves(Curves(id="c", title="t", x_title="batch", y_title="loss", curves=(curve,), table="t"))

    assert [2, 1, 1] == [len((line.get("points") or "").split()) for line in figure.iter("polyline")]


def test_ideal_speed_up_is_the_diagonal_and_what_does_not_count_is_hollow() -> None:
    sizes = (
        Size(devices=1, speed_up=1.0, low=None, high=None, text=""),
        Size(devices=2, speed_up=2.0, low=1.0, high=4.0, text=""),
        Size(devices=4, speed_up=1.0, low=None, high=None, text="", counts=False),
    )
    figure = svg.speed_ups(SpeedUps(
        id="s", title="t", axes="a", ideal="ideal", table="t", growths=(Growth(label="ddp", sizes=sizes),)
    ))
    ideal, line = ([tuple(map(float, p.split(","))) for p in (e.get("points") or "").split()]
                   for e in figure.iter("polyline"))
    whisker = next(e for e in figure.iter("line") if e.get("class") == "curve c1")

    assert [(ideal[0], ideal[1])] == [(line[0], (line[2][0], 0.0))]
    assert line[1] == pytest.approx(((ideal[0][0] + ideal[1][0]) / 2, (ideal[0][1] + ideal[1][1]) / 2), abs=0.11)
    assert line[0][1] == line[2][1] == svg.VIEW
    assert [svg.LEGEND + svg.PLOT, svg.LEGEND] == [float(whisker.get(end) or 0) for end in ("y1", "y2")]
    assert [False, False, True] == ["hollow" in (circle.get("class") or "") for circle in figure.iter("circle")]


def stacked(*bars: tuple[float, ...]) -> StackedBars:
    """A bar for each tuple of times, whose parts take turns as convolutions and pooling layers."""
    families = itertools.cycle([Family.CONVOLUTION, Family.POOLING])
    return StackedBars(
        id="s", title="t", unit="ms", table="t",
        bars=tuple(
            StackedBar(
                label=f"framework {index}", text="9",
                segments=tuple(
                    Segment(label=f"layer {i}", text=f"{value} ms", value=value, family=family)
                    for i, (value, family) in enumerate(zip(values, families, strict=False))
                ),
            )
            for index, values in enumerate(bars)
        ),
    )


def test_the_parts_of_a_bar_stand_one_behind_the_other_on_an_axis_that_all_bars_share() -> None:
    figure = svg.stacked_bars(stacked((2.0, 6.0), (3.0, 1.0)))
    bars = [group for group in figure.iter("g") if group.get("class") == "stack"]

    assert [[("0.00%", "25.00%"), ("25.00%", "75.00%")], [("0.00%", "37.50%"), ("37.50%", "12.50%")]] == [
        [(part.get("x"), part.get("width")) for part in bar.iter("rect")] for bar in bars
    ]


def test_a_part_can_be_read_without_its_colour() -> None:
    figure = svg.stacked_bars(stacked((2.0, 6.0)))
    text = svg.text(figure)

    assert ["layer 0: 2.0 ms", "layer 1: 6.0 ms"] == [t.text for r in figure.iter("rect") for t in r.iter("title")]
    assert ["C", "P"] == [t.text for g in figure.iter("g") for t in g.iter("text")]
    assert "convolution" in text
    assert "pooling" in text
    assert "dense" not in text      # the legend tells what is there


def test_a_kind_of_work_has_its_letter_and_its_colour_in_every_figure() -> None:
    style = (Path(svg.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    page = reports.render("html", Document(title="t", summary=(), sections=()))

    assert len(Family) == len({family.letter for family in Family})
    assert all(f".{svg._class(family)}" in style for family in Family)
    assert "--c8" in page


def test_the_terminal_draws_a_bar_of_letters_as_long_as_its_time() -> None:
    section = Section(id="a", title="b", blocks=(stacked((2.0, 6.0), (3.0, 1.0)),))
    lines = terminal.render(Document(title="t", summary=(), sections=(section,)), width=60).splitlines()
    first, second = (line.split()[2] for line in lines if line.startswith("framework"))

    assert re.fullmatch(r"C+P+", first)
    assert len(first) == pytest.approx(2 * len(second), abs=1)
    assert first.count("C") == pytest.approx(first.count("P") / 3, abs=1)
    assert second.count("C") == pytest.approx(second.count("P") * 3, abs=2)
    assert "C convolution, P pooling" in lines


def dot(intensity: float, flops_per_s: float, share: float = 0.1) -> Dot:
    return Dot(label="conv1", text="5 GFLOP/s", intensity=intensity, flops_per_s=flops_per_s, share=share,
               family=Family.CONVOLUTION)


def plot(*dots: Dot, flops_per_s: float | None = 1e11, bytes_per_s: float | None = 1e10) -> Any:
    return svg.roofline(Roofline(
        id="r", title="t", dots=dots, peak_flops_per_s=flops_per_s, peak_bytes_per_s=bytes_per_s,
        peak_flops_text="100 GFLOP/s", peak_bytes_text="10 GB/s", table="t",
    ))


def test_powers_of_ten_are_equally_far_apart() -> None:
    figure = plot(dot(0.1, 1e9), dot(1.0, 1e10), dot(10.0, 1e11))
    across = [float(str(circle.get("cx")).rstrip("%")) for circle in figure.iter("circle")]
    down = [float(str(circle.get("cy"))) for circle in figure.iter("circle")]

    assert [0.0, 50.0, 100.0] == across
    assert down[0] - down[1] == pytest.approx(down[1] - down[2], abs=0.1)
    assert down[0] > down[1]


def test_the_roof_rises_with_memory_to_the_ridge_and_is_flat_behind_it() -> None:
    (line,) = plot(dot(1.0, 1e9), dot(100.0, 1e10)).iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in str(line.get("points")).split()]

    assert [0.0, 500.0, 1000.0] == [x for x, _ in points]      # the ridge is at 10 FLOP/byte
    assert points[0][1] > points[1][1] == points[2][1]


@pytest.mark.parametrize(("flops_per_s", "bytes_per_s", "lines"), [(1e11, None, 1), (None, 1e10, 1), (None, None, 0)])
def test_an_unknown_limit_is_not_drawn(flops_per_s: float | None, bytes_per_s: float | None, lines: int) -> None:
    assert lines == len(list(plot(dot(1.0, 1e9), flops_per_s=flops_per_s, bytes_per_s=bytes_per_s).iter("polyline")))


def test_a_layer_that_takes_more_of_the_step_is_a_larger_dot() -> None:
    radii = [float(str(circle.get("r"))) for circle in plot(dot(1.0, 1e9, 0.8), dot(2.0, 1e9, 0.01)).iter("circle")]

    assert radii[0] > 2 * radii[1] > 0


@pytest.mark.parametrize("largest", [0.0, 1e-9, 0.3, 1.0, 7.0, 99.0, 1234.5, 1e12])
def test_ticks_are_few_and_reach_the_largest(largest: float) -> None:
    ticks = svg.ticks(largest)

    assert 0 == ticks[0]
    assert ticks[-1] >= largest * (1 - 1e-9)
    assert 2 <= len(ticks) <= 6


# Languages ----------------------------------------------------------------------------------------------------------


def ids_of(document: Document) -> list[str]:
    """Ids of all links but those of findings, which follow their text."""
    return [each for each in Page(reports.render("html", document)).all("id") if not each.startswith("finding.")]


def numbers_of(value: Any) -> list[float]:
    """Every number of a document, in its order."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, tuple):
        return [number for item in value for number in numbers_of(item)]
    if dataclasses.is_dataclass(value):
        return [number for field in dataclasses.fields(value) for number in numbers_of(getattr(value, field.name))]
    return []


@pytest.mark.parametrize("spoken", language.names())
def test_a_report_says_the_same_in_every_language(spoken: str, document: Document, tmp_path: Path) -> None:
    with language.speaking(spoken):
        other = records.report(records.stored(tmp_path, records.sweep()))

    assert ids_of(document) == ids_of(other)
    assert str(numbers_of(document)) == str(numbers_of(other))     # where nan equals nan
    assert f'<html lang="{spoken}">' in reports.render("html", other)


def test_a_report_is_written_in_the_language_that_it_was_made_in(tmp_path: Path) -> None:
    store = records.stored(tmp_path, records.sweep())
    with language.speaking("zh"):
        document = records.report(store)

    for name in reports.NAMES:
        assert "难分高下" in reports.render(name, document)
        assert "too close to call" in reports.render(name, records.report(store))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_a_terminal_of_any_width_shows_every_cell_of_a_table(width: int) -> None:
    words = [[f"{row}x{column}y{row * column:04}" for column in range(14)] for row in range(3)]
    table = Table(
        id="t", caption="c", columns=tuple(Column(title=f"c{column}", is_detail=column > 4) for column in range(14)),
        rows=tuple(Row(id=f"r{row[0]}", cells=tuple(Cell(text=text) for text in row)) for row in words),
    )
    document = Document(title="T", summary=(), sections=(Section(id="s", title="S", blocks=(table,)),))

    shown = terminal.render(document, width=width)

    assert {word for row in words for word in row} <= set(shown.split())
    assert max(map(len, shown.splitlines())) <= width
