"""Start-up as columns of results and as a section of the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rigmark.bench.analysis.results import startup
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.document.document import Table
from rigmark.bench.enums import StartMethod
from rigmark.bench.sections import start
from rigmark.bench.store.record import Record
from tests.records import timing_records, trials_of, with_measurement
from tests.reports import records

MARKS = {
    "launched": 0.0, "started": 0.1, "imported": 2.1, "prepared": 2.6, "loaded": 2.7, "stepped": 3.0, "steady": 4.0,
}


def test_the_columns_add_up_to_the_whole(tmp_path: Path):
    (row,) = results(trials_of(tmp_path, [with_measurement(each, marks=MARKS) for each in timing_records([0.01] * 3)]))\
        .to_dict("records")

    assert row["start_up_s"] == pytest.approx(3.0)
    assert [row[name] for name in startup.PHASES] == pytest.approx([0.1, 2.0, 0.5, 0.1, 0.3])


def test_records_of_older_versions_and_forks_have_no_start_up(tmp_path: Path):
    def forked(record: Record) -> Record:
        settings = {**record.identity.settings, "start_method": StartMethod.FORKSERVER}
        return dataclasses.replace(record, identity=dataclasses.replace(record.identity, settings=settings))

    older = timing_records([0.01] * 2)
    forks = [forked(with_measurement(each, marks=MARKS)) for each in timing_records([0.01] * 2)]
    for number, each in enumerate((older, forks)):
        (row,) = results(trials_of(tmp_path / str(number), each)).to_dict("records")
        assert row["start_up_s"] is None


def test_the_report_has_a_table_of_phases(tmp_path: Path):
    measured = []
    for repetition in range(2):
        record = records.timing(records.case("numpy"), repetition, 0.01)
        settings = {**record.identity.settings, "start_method": "spawn"}
        measured.append(with_measurement(
            dataclasses.replace(record, identity=dataclasses.replace(record.identity, settings=settings)), marks=MARKS,
        ))
    document = records.report(records.stored(tmp_path, measured))

    (section,) = (each for each in document.sections if each.id == "start")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    (row,) = table.rows
    assert [cell.text for cell in row.cells[1:]] == ["3.00", "0.100", "2.00", "0.500", "0.100", "0.300"]
    assert [column.unit for column in table.columns[1:]] == ["s"] * 6


def test_a_report_without_marks_has_no_such_section():
    assert start.section([]) is None
