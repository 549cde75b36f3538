"""What the machine did, from readings to panels, marks and a table."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rigmark.bench import sections
from rigmark.bench.document.document import Document, Fold, Section, Table, Timeline
from rigmark.bench.sections import inputs, timeline
from rigmark.bench.store.record import Record
from tests.reports import records, watched


@pytest.fixture(name="document", scope="module")
def _document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return drawn(tmp_path_factory.mktemp("watched"), watched.readings())


def drawn(root: Path, readings: pd.DataFrame, *more: Record) -> Document:
    store = records.stored(root, [records.proof(records.case("torch")), *map(watched.trial, range(3)), *more])
    return sections.document(
        replace(inputs.read(store), telemetry_of=lambda trial_ids: (dict.fromkeys(trial_ids, readings), ()))
    )


def part(document: Document) -> Section:
    (section,) = (each for each in document.sections if each.id == "telemetry")
    return section.sections[0]


def figure(document: Document) -> Timeline:
    (result,) = (block for block in part(document).blocks if isinstance(block, Timeline))
    return result


def test_each_quantity_has_a_panel_with_a_line_for_each_device(document: Document) -> None:
    panels = {panel.title: panel for panel in figure(document).panels}

    assert {"power", "clock", "sent over PCIe"} == set(panels)
    assert ["NVIDIA H100 (GPU 0)", "NVIDIA H100 (GPU 1)"] == [trace.label for trace in panels["power"].traces]
    assert min(panels["clock"].traces[0].values) == pytest.approx(1.2)      # GHz, while it was hot
    assert not panels["clock"].is_from_zero


def test_a_counter_is_drawn_as_its_growth(document: Document) -> None:
    (panel,) = (panel for panel in figure(document).panels if panel.title == "sent over PCIe")
    known = [value for value in panel.traces[0].values if not math.isnan(value)]

    assert known == pytest.approx([1.0] * len(known))      # GB/s


def test_regions_and_heat_are_marked_where_they_were(document: Document) -> None:
    spans = {span.label: (span.begin_s, span.end_s) for span in figure(document).spans}

    assert spans["warm-up"] == (3.0, 4.0)
    assert spans["timed steps"] == (4.0, 10.0)
    assert spans["clocks reduced by heat (NVIDIA H100 (GPU 0))"] == pytest.approx((5.0, 7.0), abs=0.1)
    assert len(spans) == 3


def test_the_table_holds_the_timed_steps_alone(document: Document) -> None:
    (table,) = (
        inner for block in part(document).blocks if isinstance(block, Fold) for inner in block.blocks
        if isinstance(inner, Table)
    )
    lowest = {(row.cells[0].text, row.cells[1].text): row.cells[2].value for row in table.rows}

    assert figure(document).table == table.id
    assert lowest["clock (GHz)", "NVIDIA H100 (GPU 0)"] == pytest.approx(1.2)
    assert {row.cells[-1].value for row in table.rows} == {120.0}      # readings, of 200 in all


def test_a_chart_of_many_readings_keeps_the_extremes(tmp_path: Path) -> None:
    readings = watched.readings(points=50_000)
    is_spike = (readings.field == "power_w") & (readings.begin_ns == readings.begin_ns.sort_values().iloc[200_000])
    readings.loc[is_spike, "value"] = 999.0
    panel = figure(drawn(tmp_path, readings)).panels[0]

    assert timeline.MOST_POINTS == len(panel.traces[0].values)
    assert max(np.nanmax(trace.values) for trace in panel.traces) == 999.0
    assert panel.step_s * (timeline.MOST_POINTS - 1) == pytest.approx(10.0)


def test_a_layer_trial_of_the_same_case_is_not_drawn_for_its_timed_trials(tmp_path: Path) -> None:
    """It has telemetry, and none of their timings."""
    case = watched.trial().identity.case
    apart = replace(records.layer_trial(case, records.step_by_work(case, 0.01)), telemetry=watched.block())
    store = records.stored(tmp_path, [records.proof(case), watched.trial(), apart])

    assert [watched.trial().id] == [each.id for each in inputs.read(store).drawn]


def test_the_first_trial_is_drawn_and_the_others_are_folded(tmp_path: Path) -> None:
    trial = watched.trial()
    other = replace(trial, identity=replace(trial.identity, case={**trial.identity.case, "local_batch": 64}))
    (section,) = (each for each in drawn(tmp_path, watched.readings(), other).sections if each.id == "telemetry")
    first, second = section.sections

    assert any(isinstance(block, Timeline) for block in first.blocks)
    assert not any(isinstance(block, Timeline) for block in second.blocks)
    assert any(isinstance(inner, Timeline) for block in second.blocks if isinstance(block, Fold)
               for inner in block.blocks)


def test_without_readings_there_is_no_section(tmp_path: Path) -> None:
    store = records.stored(tmp_path, [watched.trial()])

    assert "telemetry" not in [each.id for each in records.report(store).sections]
