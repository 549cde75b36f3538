"""The first screen: answers, one row per case with its figure or the reason, and where the rest is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmark.bench.analysis.results.summary import results
from rigmark.bench.document.document import Code, Document, Table
from rigmark.bench.enums import Outcome
from rigmark.bench.sections import short
from rigmark.reports.media import terminal
from tests.reports import records

SCREEN = 70                  # lines, about; a whole report has hundreds


@pytest.fixture(name="store")
def _store(tmp_path: Path):
    return records.stored(tmp_path, records.sweep())


def table_of(document: Document) -> Table:
    return next(block for section in document.sections for block in section.blocks if isinstance(block, Table))


def in_short(store) -> Document:
    return short.short(records.report(store), results(store.trials().table), command="rigmark report")


def test_the_answer_comes_first_and_the_rest_is_named(store):
    whole, document = records.report(store), in_short(store)

    assert [whole.sections[0], "short.measured", "short.more"] == [
        document.sections[0], *(section.id for section in document.sections[1:])
    ]
    said = terminal.render(document)
    assert SCREEN > said.count("\n")
    for section in whole.sections[1:]:
        assert section.title in " ".join(said.split())
    (code,) = (block for block in document.sections[-1].blocks if isinstance(block, Code))
    assert "rigmark report --full\nrigmark report -o report.html" == code.text


def test_every_case_has_a_row_with_its_figure_or_the_reason(store):
    result = results(store.trials().table)

    rows = {row.cells[0].text.removeprefix("● "): [cell.text for cell in row.cells[1:]]
            for row in table_of(in_short(store)).rows}

    assert len(result) == len(rows)
    (torch,) = (cells for label, cells in rows.items() if label.startswith("mnist_cnn training, torch"))
    assert torch[0].endswith(" samples/s")
    assert "8" == torch[1]
    (crashed,) = (cells for label, cells in rows.items() if label.startswith("mnist_cnn inference, jax"))
    assert ["RuntimeError: the worker ended with signal 11", "0", "crashed"] == crashed
    (launch,) = (cells for label, cells in rows.items() if label.startswith("launch"))
    assert launch[0].endswith(" µs")         # a limit that does no work has a time
    (product,) = (cells for label, cells in rows.items() if label.startswith("matmul_1024, jax"))
    assert product[0].endswith(" GFLOP/s")


def test_what_was_just_measured_stands_alone(store):
    trials = store.trials().table
    torch = trials[(trials.framework == "torch") & (trials["mode"] == "training") & (trials.kind == "timing")]

    document = short.concluded(trials, set(torch.id.iloc[:1]), command="rigmark report --results elsewhere")

    (row,) = table_of(document).rows
    assert str(len(torch)) == row.cells[2].text          # with what was stored of it before
    assert "rigmark report --results elsewhere\n" in terminal.render(document)


def test_nothing_timed_is_stated(store):
    trials = store.trials().table
    proofs = set(trials[trials.kind == "proof"].id)

    said = terminal.render(short.concluded(trials, proofs, command="rigmark report"))

    assert "No trial was timed." in said


def test_answers_beyond_the_most_that_are_shown_are_counted(store, monkeypatch):
    monkeypatch.setattr(short, "MOST_ANSWERS", 1)
    monkeypatch.setattr(short, "MOST_ROWS", 2)

    document = in_short(store)

    assert "The whole report has 1 more answer." in terminal.render(document)
    assert 2 == len(table_of(document).rows)
    assert any(note.startswith("rigmark results shows ") for note in table_of(document).notes)


def test_doubts_are_counted_by_kind(store):
    result = results(store.trials().table)
    doubtful = sum((result.outcome == Outcome.OK) & (result.validity != "valid"))

    said = " ".join(terminal.render(in_short(store)).split())

    assert (f"{doubtful} of {len(result)} results are suspect or invalid" in said) == (doubtful > 0)
