"""What holds for media of many files: each figure and table is there, stands alone, and does not do as records say."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pytest

from rigmark import reports
from rigmark.bench.document import language
from rigmark.bench.document.document import (
    Attachment,
    Bar,
    Bars,
    Cell,
    Column,
    Curve,
    Curves,
    Document,
    Fold,
    Origin,
    Row,
    Section,
    Table,
)
from rigmark.reports.folders import blocks, figures, file_names
from tests.reports import records

SVG = "{http://www.w3.org/2000/svg}"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(name="document", scope="module")
def _document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return records.report(records.stored(tmp_path_factory.mktemp("results"), records.sweep()))


def of(*result: Bars | Curves | Table | Attachment) -> Document:
    section = Section(id="s", title="s", blocks=(Fold(title="f", blocks=result),))
    return Document(title="t", summary=(), sections=(section,))


def bars(identity: str = "b", title: str = "throughput") -> Bars:
    values = (Bar(label="torch", text="80", value=80.0, low=70.0, high=90.0, values=()),
              Bar(label="jax", text="70", value=70.0, low=None, high=None, values=(), origin=Origin.PREDICTED))
    return Bars(id=identity, title=title, unit="samples/s", bars=values, table="t")


def table(identity: str, *texts: str, values: tuple[float | None, ...] = ()) -> Table:
    cells = [Cell(text=text, value=value) for text, value in zip(texts, values or [None] * len(texts), strict=True)]
    rows = tuple(Row(id=f"r{index}", cells=(cell,)) for index, cell in enumerate(cells))
    return Table(id=identity, caption="c", columns=(Column(title="time", unit="ms"),), rows=rows)


def parquet(folder: Path, *tables: Table) -> list[pd.DataFrame]:
    result = []
    for file in reports.files("tables", of(*tables)).files:
        if file.name.endswith(".parquet"):
            (folder / file.name).write_bytes(file.content)
            result.append(duckdb.sql(f"SELECT * FROM '{folder / file.name}'").df())
    return result


def test_a_table_is_parquet_with_its_texts_as_they_are_and_its_values_as_numbers(tmp_path: Path) -> None:
    (frame,) = parquet(tmp_path, table("table.times", "=1+1", "2.5", "–", values=(0.001, 0.0025, None)))

    assert ["=1+1", "2.5", "–"] == frame["time (ms)"].tolist()
    assert [0.001, 0.0025] == frame["time [value]"].dropna().tolist()


def test_columns_of_one_title_and_hostile_ones_keep_apart_in_parquet(tmp_path: Path) -> None:
    titles = ("time", "Time", 'a"; DROP TABLE rows; --', "[value]")
    row = Row(id="r", cells=tuple(Cell(text=title) for title in titles))
    (frame,) = parquet(tmp_path, Table(
        id="t", caption="c", columns=tuple(Column(title=title) for title in titles), rows=(row,)
    ))

    assert ["time", "Time_2", 'a"; DROP TABLE rows; --', "[value]"] == list(frame.columns)
    assert list(titles) == frame.iloc[0].tolist()


def test_every_figure_is_an_svg_and_a_png(document: Document) -> None:
    pytest.importorskip("resvg_py")
    folder = reports.files("figures", document)
    count = sum(isinstance(block, figures.get_args(figures.Figure)) for block in blocks(document))
    pictures = [file for file in folder.files if file.name.endswith(".png")]

    assert 2 * count == len(folder.files) == 2 * len(pictures)
    assert all(picture.content.startswith(PNG) and len(picture.content) > 3_000 for picture in pictures)
    assert len({picture.content for picture in pictures}) == count       # none is blank


def test_a_figure_stands_alone(document: Document) -> None:
    """No variable, no media query, nothing from elsewhere; a background; each class that is used has a style."""
    for file in reports.files("figures", document).files:
        if file.name.endswith(".svg"):
            root = ElementTree.fromstring(file.content)
            style = root.findtext(f"{SVG}style") or ""

            assert "var(" not in style
            assert not re.search(r"@|url\((?!#)|:is|http", style)
            assert "#ffffff" == root.find(f"{SVG}rect").get("fill")      # type: ignore[union-attr]


def test_a_stretched_area_is_drawn_in_pixels() -> None:
    curve = Curve(label="torch", values=(2.0, 1.0, 0.0))
    root = figures.static(Curves(id="c", title="t", x_title="batch", y_title="loss", curves=(curve,), table="t"))
    (line,) = root.iter("polyline")

    assert ["0.0,0.0", "450.0,120.0", "900.0,240.0"] == str(line.get("points")).split()


def test_without_resvg_the_svgs_are_there_and_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    folder = reports.files("figures", of(bars()))

    assert ["b.svg"] == [file.name for file in folder.files]
    assert "pip install resvg-py" in folder.remarks[0]


def test_letters_that_no_font_here_has_are_reported() -> None:
    """Drawn by a machine without such a font, both come out the same; with one, nothing is to be said."""
    resvg = pytest.importorskip("resvg_py")
    drawn = [
        bytes(resvg.svg_to_bytes(
            svg_string=f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" font-family="{figures.FONTS}">'
                       f'<text x="4" y="30" font-size="30">{letter}</text></svg>'
        )) for letter in "吐量"
    ]

    assert (drawn[0] == drawn[1]) == bool(reports.files("figures", of(bars(title="吐量"))).remarks)


def test_hostile_ids_lead_nowhere_and_none_is_lost() -> None:
    names = list(file_names(["../../etc/passwd", "a b", "a_b", "a b", "", "...", "CON\x00", "x" * 500]))

    assert len(names) == len(set(names))
    assert not [name for name in names if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,120}", name)]


def test_hostile_titles_are_text_in_a_figure() -> None:
    hostile = "</style><script>alert(1)</script>]]>&\"'"
    (file, *_) = reports.files("figures", of(bars(title=hostile))).files
    root = ElementTree.fromstring(file.content)

    assert hostile == root.findtext(f"{SVG}title")
    assert not list(root.iter(f"{SVG}script"))


# Tables -------------------------------------------------------------------------------------------------------------


def test_every_table_is_a_csv_and_all_are_in_one_json(document: Document) -> None:
    folder = {
        file.name: file.content.decode() for file in reports.files("tables", document).files
        if not file.name.endswith(".parquet")
    }
    tables = [block for block in blocks(document) if isinstance(block, Table)]
    plain = json.loads(folder["tables.json"])

    assert [each.id for each in tables] == [each["id"] for each in plain]
    for each, stored in zip(tables, plain, strict=True):
        rows = list(csv.reader(io.StringIO(folder[stored["file"]])))
        assert len(each.rows) == len(rows) - 1 == len(stored["rows"])
    assert "rigmark-results.csv" in folder


def test_a_table_as_csv_has_each_number_as_shown_and_as_stored() -> None:
    (file, *_) = reports.files("tables", of(table("t", "12.3", "–", values=(0.012345678901, None)))).files

    assert [["time (ms)", "time [value]"], ["12.3", "0.012345678901"], ["–", ""]] == list(
        csv.reader(io.StringIO(file.content.decode()))
    )


@pytest.mark.parametrize("text", ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "＝1"])
def test_a_text_in_a_csv_is_no_formula(text: str) -> None:
    (file, *_) = reports.files("tables", of(table("t", text))).files

    assert [["time (ms)"], [f"'{text}"]] == list(csv.reader(io.StringIO(file.content.decode())))


@pytest.mark.parametrize("text", ["-3.2", "+1.5 %", "-1e-07", "3", "a=b"])
def test_a_number_and_plain_text_stay_as_they_are(text: str) -> None:
    (file, *_) = reports.files("tables", of(table("t", text))).files

    assert text in file.content.decode().splitlines()


def test_a_folder_is_written_in_the_language_of_its_document(tmp_path: Path) -> None:
    with language.speaking("zh"):
        document = records.report(records.stored(tmp_path, records.sweep()))

    assert "吞吐量".encode() in b"".join(file.content for file in reports.files("tables", document).files)
