"""Records may come from anybody: whatever their names and messages hold, a report shows it and does nothing else."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import markdown_it
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rigmark import reports
from rigmark.bench.document.document import (
    Attachment,
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
    Fold,
    Growth,
    Items,
    Note,
    Paragraph,
    Roofline,
    Row,
    Section,
    Segment,
    Size,
    SpeedUps,
    StackedBar,
    StackedBars,
    Standing,
    Table,
    Verdict,
    Verdicts,
)
from rigmark.bench.host.plain import plain_line
from rigmark.reports.media import markdown
from rigmark.reports.plain import LONGEST_LINE

PIECES = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style>", "</title>", "-->", "]]>", '"', "'", "`",
    "```", "&lt;", "&#x3c;", "{{ 7*7 }}", "{% raw %}", "{0}", "%s", "|", "\\|", "\n", "\r\n", "\n\n# title\n",
    "\n- item", "[x](javascript:1)", "![x](http://e.example/x.png)", "<http://e.example>", "http://e.example",
    "www.e.example", "@all", "#1", "\n---\n", "<details>", "</details>", "\x1b[31m", "\x1b]8;;http://e.example\x1b\\",
    "\x9b2J", "\x00", "\x07", "\x08", "\x7f", "\u202e", "\u2066", "\u200f", "\ufeff", "\u2028", "\ud800",
    "\U000e0041", "=1+1", "@SUM(A1)", "\t", "é", "吞吐量", "🙂", " ", "\n    code", "\n> quote", "~~~", "$x$", "1. ",
    "\n===\n", "[^1]", "[a]: http://e.example",
)
TEXTS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), min_size=1, max_size=8
).map("".join).filter(plain_line)
EXAMPLES = settings(max_examples=30)


def everywhere(text: str) -> Document:
    """A document that has this text in every place that a record can reach."""
    cells = (Cell(text=text, value=1.0, notes=(Note(number=1, id="finding.1"),)), Cell(text="1"))
    table = Table(id="t", caption=text, columns=(Column(title=text, unit=text), Column(title="b")),
                  rows=(Row(id="r", cells=cells),), notes=(text,))
    bar = Bar(label=text, text=text, value=1.0, low=0.5, high=1.5, values=())
    segment = Segment(label=text, text=text, value=1.0, family=Family.DENSE)
    dot = Dot(label=text, text=text, intensity=1.0, flops_per_s=1e9, share=0.5, family=Family.DENSE)
    verdict = Verdict(id="v", subject=text, conditions=text, standing=Standing.CLEAR, sentences=(text, text))
    blocks = (
        Paragraph(text=text), Items(texts=(text,), ids=("finding.1",)), Code(text=text), table,
        Bars(id="bars", title=text, unit=text, bars=(bar,), table="t"),
        Curves(id="curves", title=text, x_title=text, y_title=text, table="t",
               curves=(Curve(label=text, values=(1.0,)),)),
        SpeedUps(id="speed_ups", title=text, axes=text, ideal=text, table="t", growths=(
            Growth(label=text, sizes=(Size(devices=2, speed_up=1.5, low=1.0, high=2.0, text=text),)),
        )),
        StackedBars(id="stack", title=text, unit=text, table="t",
                    bars=(StackedBar(label=text, text=text, segments=(segment,)),)),
        Roofline(id="roof", title=text, dots=(dot,), peak_flops_per_s=1e9, peak_bytes_per_s=1e9, peak_flops_text=text,
                 peak_bytes_text=text, table="t"),
        Verdicts(verdicts=(verdict,)), Attachment(name="a.csv", mime_type="text/csv", content=text, description=text),
        Fold(title=text, blocks=(Paragraph(text=text),)),
    )
    return Document(title=text, summary=(text,), sections=(Section(id="s", title=text, blocks=blocks),))


class Shape(HTMLParser):
    """Elements and names of attributes of a page, and where it leads; values are of no interest but for these."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.leads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attributes if name != "class")))
        self.leads += [value or "" for name, value in attributes if name in ("href", "src", "action")]


HARMLESS = Shape(reports.render("html", everywhere("x")))


@EXAMPLES
@given(TEXTS)
def test_a_page_has_the_same_elements_whatever_its_records_say(text: str) -> None:
    """But for the classes of cells, nothing of a page follows from a text."""
    shape = Shape(reports.render("html", everywhere(text)))

    assert HARMLESS.elements == shape.elements
    assert all(lead.startswith(("#", "data:text/csv")) for lead in shape.leads)


@EXAMPLES
@given(TEXTS)
def test_no_medium_passes_on_what_a_screen_obeys(text: str) -> None:
    for name in reports.NAMES:
        shown = reports.render(name, everywhere(text))

        assert {"\n"} >= {letter for letter in shown if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn"}}
        shown.encode()


@EXAMPLES
@given(TEXTS)
@example("___")
@example("_a__b_")
def test_markdown_has_the_same_structure_whatever_its_records_say(text: str) -> None:
    """As a renderer of CommonMark with tables, struck text and found addresses reads it."""
    def structure(said: str) -> list[str]:
        parser = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        parsed = parser.parse(reports.render("markdown", everywhere(said)))
        tokens = [each for token in parsed for each in (token, *(token.children or []))]
        named = [t.content if t.type in ("html_block", "html_inline") else t.type for t in tokens]
        return [re.sub(r"(?s)<summary>.*?</summary>", "<summary>", name) for name in named
                if name not in ("text", "text_special", "softbreak", "paragraph_open", "paragraph_close", "inline")]

    assert structure("x") == structure(text)


@EXAMPLES
@given(TEXTS)
def test_files_of_figures_and_tables_hold_text_as_text(text: str) -> None:
    for file in reports.files("tables", everywhere(text)).files:
        if file.name == "t.csv":
            head, row = csv.reader(io.StringIO(file.content.decode()))
            assert 3 == len(head) == len(row)
            assert not [cell for cell in (*head, *row) if re.match(r"[=+\-@\t\r＝＋－＠](?![\d.,]+( ?%)?$)", cell)]


@pytest.mark.parametrize("text", ["</svg><script>alert(1)</script>", "&\"'<>]]>\x1b[31m\u202e"])
def test_a_figure_as_a_file_is_xml_of_its_own_elements(text: str) -> None:
    def elements(said: str) -> list[list[str]]:
        files = reports.files("figures", everywhere(said)).files
        return [[n.tag for n in ElementTree.fromstring(f.content).iter()] for f in files if f.name.endswith(".svg")]

    assert elements("x") == elements(text)


def test_ten_million_letters_are_cut_and_told() -> None:
    document = everywhere("A<b>" * 2_500_000)

    for name in reports.NAMES:
        text = reports.render(name, document)
        assert len(text) < 100 * LONGEST_LINE + 15_000_000       # the file in the page alone has them all, in base64
        assert "10,000,000 letters in all" in re.sub(r"\s+", " ", text) or name == "markdown"


# A comment's limit --------------------------------------------------------------------------------------------------


def many(count: int) -> Document:
    verdicts = tuple(
        Verdict(id=f"v{index}", subject=f"case {index}", conditions="batch 32", standing=Standing.CLEAR,
                sentences=("torch is fastest: 4.8x (4.5 to 5.2) the throughput of numpy.",))
        for index in range(count)
    )
    last = Section(id="l", title="Limits", blocks=(Paragraph(text="one machine"),))
    return Document(title="t", summary=(), sections=(
        Section(id="v", title="Verdict", blocks=(Verdicts(verdicts=verdicts),)), last,
    ))


def test_a_long_report_fits_into_a_comment_and_says_what_it_left_out() -> None:
    text = reports.render("markdown", many(3_000))

    assert markdown.LIMIT >= len(text) > 0.9 * markdown.LIMIT
    kept = text.count("- **case ")
    assert f"Verdict ({3_000 - kept:,} parts)" in text.split("## Verdict")[0]
    assert "one machine" in text         # what is short still fits


def test_a_report_that_fits_is_whole() -> None:
    text = reports.render("markdown", many(100))

    assert 100 == text.count("- **case ")
    assert "Left out" not in text


def test_a_piece_without_its_heading_is_never_shown() -> None:
    long: tuple[Any, ...] = (Items(texts=("a " * 5_000,) * 20),)
    inner = Section(id="c", title="Inner", blocks=(Paragraph(text="here"),))
    document = Document(title="t", summary=(), sections=(
        Section(id="a", title="Long", blocks=long), Section(id="b", title="Short", sections=(inner,)),
    ))
    lines = [line for line in reports.render("markdown", document).splitlines() if line]

    assert ["# t", "## Short", "### Inner", "here"] == [line for line in lines if not line.startswith(">")]
