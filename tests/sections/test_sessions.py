"""What a report says of comparisons that were measured again in later sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.document.document import Document, Items, Paragraph, Section, Standing
from rigmark.bench.store.record import Record
from tests.records import WORLD
from tests.reports import records
from tests.sections.test_report import column, table, timings, verdicts

FAST = [0.0100, 0.0098, 0.0103, 0.0101, 0.0099, 0.0100, 0.0102, 0.0098]
SLOW = [0.048, 0.047, 0.049, 0.048, 0.0485, 0.0475, 0.048, 0.0482]


def session(name: str, day: int, step_times_s: Mapping[str, list[float]], **changes: Any) -> list[Record]:
    """Trials of these frameworks, in a session on a day."""
    return [
        dataclasses.replace(
            each, identity=dataclasses.replace(each.identity, session=name), recorded_at=f"2026-10-{day:02d}T02:00:00Z"
        )
        for framework, times_s in step_times_s.items() for each in timings(framework, times_s, **changes)
    ]


def said(root: Path, *sessions: list[Record]) -> Document:
    return records.report(records.stored(root, [each for several in sessions for each in several]))


def test_the_latest_session_answers_and_counts_those_that_agree(tmp_path: Path) -> None:
    same = {"torch": FAST, "numpy": SLOW}
    document = said(tmp_path, *(session(str(day), day, same) for day in (9, 10, 11)))

    (verdict,) = verdicts(document)
    assert verdict.standing is Standing.CLEAR
    assert verdict.conditions.endswith("session 11")
    assert "2 earlier sessions gave the same answer." in verdict.sentences


def test_a_session_that_answered_otherwise_is_named(tmp_path: Path) -> None:
    document = said(
        tmp_path, session("0", 1, {"torch": FAST}), session("1", 2, {"torch": SLOW, "numpy": FAST}),
        *(session(name, day, {"torch": FAST, "numpy": SLOW}) for day, name in enumerate(("2", "3"), start=3)),
    )

    (verdict,) = verdicts(document)
    assert "1 of 2 earlier sessions gave another answer (1); see every result." in verdict.sentences


def test_of_one_alone_the_earlier_figures_are_reported(tmp_path: Path) -> None:
    several = [session(str(day), day, {"torch": [0.010 + 0.001 * day]}) for day in (1, 2, 3)]

    (verdict,) = verdicts(said(tmp_path, *several))
    assert "In 2 earlier sessions it had 2,667 to 2,909 samples/s." in verdict.sentences


@pytest.mark.parametrize("later", [{"torch": FAST}, {"torch": FAST, "jax": SLOW}])
def test_a_comparison_stays_until_all_of_it_is_repeated(later: Mapping[str, list[float]], tmp_path: Path) -> None:
    document = said(tmp_path, session("1", 1, {"torch": FAST, "numpy": SLOW}), session("2", 2, later))

    assert len(verdicts(document)) == 2


def test_every_result_lists_all_sessions_in_their_order(tmp_path: Path) -> None:
    document = said(tmp_path, *(session(str(day), day, {"torch": FAST}) for day in (10, 9, 11)))

    assert column(table(document, "table.cases"), "session") == ["9", "10", "11"]


def test_a_precision_is_held_against_the_other_of_the_same_session_and_the_latest_is_shown(tmp_path: Path) -> None:
    wide, narrow = [step_time_s * 2 for step_time_s in FAST], FAST
    document = said(tmp_path, *(
        session(str(day), day, {"torch": times_s}, precision=precision)
        for day in (1, 2) for precision, times_s in (("fp32", wide), ("bf16", narrow))
    ), session("3", 3, {"torch": FAST}))

    shown = table(document, "table.precision")
    assert column(shown, "precision") == ["fp32", "bf16"]
    assert all("session 2" in conditions for conditions in column(shown, "conditions"))


def test_a_change_over_the_sessions_stands_in_the_verdict(tmp_path: Path) -> None:
    levels = [0.010 + 0.0001 * (day * day % 7) + 0.003 * (day > 12) for day in range(1, 25)]
    document = said(tmp_path, *(session(str(day), day, {"torch": [s]}) for day, s in enumerate(levels, start=1)))

    first = document.sections[0].blocks[0]
    assert isinstance(first, Paragraph)
    assert "1 got worse" in first.text


def scaled(name: str, day: int, step_times_s: Mapping[int, float]) -> list[Record]:
    """A session with worlds of these sizes and step times."""
    result = []
    for size, time_s in step_times_s.items():
        world = {} if size == 1 else {"world_size": size, "strategy": "ddp"}
        for each in session(name, day, {"torch": [time_s] * 6}, **world):
            result.append(dataclasses.replace(each, world=WORLD if world else None))
    return result


def on_more_devices(document: Document) -> tuple[Section, ...]:
    (devices,) = (section for section in document.sections if section.id == "scaling")
    return devices.sections


def test_of_more_devices_the_latest_session_stands_and_tells_what_was_before(tmp_path: Path) -> None:
    document = said(
        tmp_path, scaled("9", 9, {1: 0.1, 2: 0.125}), scaled("10", 10, {1: 0.1, 2: 0.15}),
        scaled("11", 11, {1: 0.1, 2: 0.11}), scaled("12", 12, {1: 0.1}),
    )

    (shown,) = on_more_devices(document)
    sentences = next(block for block in shown.blocks if isinstance(block, Items)).texts
    assert sentences[0].startswith("2 devices give 1.818x ")
    assert "In 2 earlier sessions 2 devices gave 1.33x to 1.60x the throughput of one." in sentences


def test_more_devices_stay_until_all_their_sizes_are_repeated(tmp_path: Path) -> None:
    document = said(tmp_path, scaled("1", 1, {1: 0.1, 2: 0.125, 4: 0.2}), scaled("2", 2, {1: 0.1, 2: 0.125}))

    assert len(on_more_devices(document)) == 2
