"""Every result in one table, its baselines and commands; latency in boxes; history by sessions."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rigmark.bench import sections
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.cli import app
from rigmark.bench.document.document import Curves, Document, Spreads, Table, Verdicts
from rigmark.bench.store.record import Record
from tests.reports import records


@pytest.fixture(name="document", scope="module")
def _document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return records.report(records.stored(tmp_path_factory.mktemp("results"), records.sweep()))


def table(document: Document, identity: str) -> Table:
    (result,) = (
        block for section in document.sections for block in section.blocks
        if isinstance(block, Table) and block.id == identity
    )
    return result


def test_every_result_is_there_whatever_became_of_it(document: Document) -> None:
    shown = table(document, "table.cases")

    assert ["crashed", "unsupported", "unsupported"] == sorted(
        cell.text for row in shown.rows for cell in row.cells if cell.text in ("crashed", "unsupported")
    )
    assert 8 == len(shown.rows)


def test_a_fact_that_is_the_same_for_all_is_stated_once(document: Document) -> None:
    shown = table(document, "table.cases")

    assert "precision" not in [column.title for column in shown.columns]
    assert "precision fp32" in shown.notes[-1]


def test_whatever_row_is_the_baseline_its_figures_are_those_of_pairs(document: Document) -> None:
    shown = table(document, "table.cases")
    assert shown.ratio is not None
    training = [row for row in shown.rows if row.name in ("torch", "jax", "numpy") and row.cells[1].text == "training"]
    torch, jax, numpy = (next(row for row in training if row.name == name) for name in ("torch", "jax", "numpy"))
    places = {row.name: index for index, row in enumerate(sorted(training, key=shown.rows.index))}

    assert 1 == len({row.group for row in training})
    assert ["baseline"] * 3 == [row.against[places[row.name]].text for row in (torch, jax, numpy)]
    assert torch.against[places["numpy"]] == torch.cells[shown.ratio]
    there, back = torch.against[places["numpy"]].value, numpy.against[places["torch"]].value
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1.0)
    assert "slower" in numpy.against[places["torch"]].text


def test_the_command_of_a_row_is_one_that_runs(document: Document) -> None:
    commands = [row.command for row in table(document, "table.cases").rows if row.name == "torch"]
    words = shlex.split(commands[0])

    assert words[:2] == ["rigmark", "run"]
    assert "--repetitions 8" in " ".join(commands) or "--repetitions 2" in " ".join(commands)
    dry = CliRunner().invoke(app, [*words[1:], "--dry-run", "--results", "nowhere"])
    assert "No such option" not in dry.output


def test_latency_holds_single_steps_and_leaves_out_what_too_few_show(document: Document) -> None:
    (section,) = (each for each in document.sections if each.id == "latency")
    result = [block for inner in section.sections for block in inner.blocks]
    figures, tables = ([b for b in result if isinstance(b, kind)] for kind in (Spreads, Table))

    assert [figure.table for figure in figures] == [each.id for each in tables]
    training = next(each for each in tables if "training" in each.caption)
    torch = next(row for row in training.rows if row.cells[0].text.endswith("torch"))
    cells = {column.title: cell for column, cell in zip(training.columns, torch.cells, strict=True)}
    ordered = [cells[name].value for name in ("p5", "p25", "p50", "p75", "p95", "p99", "longest")]
    assert ordered == sorted(ordered, key=lambda value: value or 0.0)
    assert "–" == cells["p99.9"].text          # 800 timings
    assert (800.0, 8.0) == (cells["timings"].value, cells["n"].value)


def test_many_comparisons_stand_in_tables(document: Document, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sections, "MOST_DRAWN", 1)
    many = records.report(records.stored(tmp_path, records.sweep()))

    assert any(isinstance(block, Verdicts) for block in document.sections[0].blocks)
    assert not any(isinstance(block, Verdicts) for block in many.sections[0].blocks)
    verdicts = table(many, "table.verdicts")
    assert 2 == len(verdicts.rows)
    assert "latency" not in [section.id for section in many.sections]
    assert table(many, "table.cases").rows == table(document, "table.cases").rows


def in_session(record: Record, session: int) -> Record:
    changes: dict[str, Any] = {"session": f"{session:02d}"}
    return dataclasses.replace(
        record, identity=dataclasses.replace(record.identity, **changes),
        recorded_at=f"2026-11-{session + 1:02d}T01:00:00+00:00",
    )


def test_history_is_shown_where_there_are_sessions_enough(document: Document, tmp_path: Path) -> None:
    trials = [
        in_session(records.timing(records.case("torch"), repetition, 0.010 if session < 14 else 0.013), session)
        for session in range(28) for repetition in range(2)
    ]
    grown = records.report(records.stored(tmp_path, trials))

    assert "history" not in [section.id for section in document.sections]
    (section,) = (each for each in grown.sections if each.id == "history")
    (curves,) = (block for block in section.blocks if isinstance(block, Curves))
    assert [15] == [mark.at for mark in curves.marks]
    assert curves.table in [block.id for block in section.blocks if isinstance(block, Table)]


def test_a_report_on_some_results_is_on_their_trials_alone(tmp_path: Path) -> None:
    from rigmark.bench.analysis.results.summary import behind

    trials = records.stored(tmp_path, records.sweep()).trials().table
    rows = results(trials)
    some = behind(rows[(rows["mode"] == "inference") & (rows.framework == "torch")], trials)

    assert {"torch"} == set(some.framework)
    assert {"inference"} == set(some[some.kind == "timing"]["mode"])
    assert 2 == len(some[some.kind == "timing"])


def differences(
    tmp_path: Path, torch: Mapping[str, Any] | None = None, jax: Mapping[str, Any] | None = None, **variables: str
) -> Any:
    """The section on what else differed, of torch with these variables and jax; of each, more facts of its records."""
    def with_variables(record: Record) -> Record:
        build = {**record.identity.build, "variables": {**record.identity.build["variables"], **variables}}
        return dataclasses.replace(record, identity=dataclasses.replace(record.identity, build=build))

    trials = [
        changed for repetition in range(2) for changed in (
            with_variables(records.timing(records.case("torch"), repetition, 0.010, **(torch or {}))),
            records.timing(records.case("jax"), repetition, 0.011, **(jax or {})),
        )
    ]
    document = records.report(records.stored(tmp_path, trials))
    return next(section for section in document.sections if section.id == "not_comparable")


def test_a_difference_beside_the_framework_is_a_red_line(tmp_path: Path) -> None:
    alike, other = differences(tmp_path / "alike"), differences(tmp_path / "other", MALLOC_ARENA_MAX="1")

    assert 1 == len(alike.blocks)
    assert "nothing but the framework" in alike.blocks[0].text
    assert "more than the framework differed" in other.blocks[0].text
    assert ["variable MALLOC_ARENA_MAX", "torch: 1; jax: not there"] == [
        cell.text for cell in other.blocks[1].rows[0].cells[:2]
    ]


def test_another_state_of_the_machine_is_a_red_line(tmp_path: Path) -> None:
    def system(turbo: bool | None, kernel: str | None) -> dict[str, Any]:
        facts = {"frequency": {"turbo": turbo}, "operating_system": {"kernel": kernel}}
        return {"system": {"fingerprint": str(facts), "facts": facts, "volatile": {}}}

    other = differences(tmp_path / "other", torch=system(True, "6.1"), jax=system(False, "6.1"))
    untold = differences(tmp_path / "untold", torch=system(True, "6.1"), jax=system(True, None))

    assert [["system: frequency.turbo", "torch: true; jax: false"]] == [
        [cell.text for cell in row.cells[:2]] for row in other.blocks[1].rows
    ]
    assert "nothing but the framework" in untold.blocks[0].text


def test_another_clock_and_telemetry_on_one_side_are_red_lines(tmp_path: Path) -> None:
    other = differences(
        tmp_path, torch={"more": {"clock": "device"}},
        jax={"more": {"clock": "host"}, "telemetry": {"devices": [], "regions": []}},
    )

    assert [["clock of timings", "torch: device; jax: host"], ["telemetry", "torch: off; jax: on"]] == [
        [cell.text for cell in row.cells[:2]] for row in other.blocks[1].rows
    ]
