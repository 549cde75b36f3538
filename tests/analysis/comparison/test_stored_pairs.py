"""Verdicts and noise from pairs that were taken earlier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rigmark import reports
from rigmark.bench.analysis.comparison.noise import by_case, document
from rigmark.bench.analysis.comparison.stored_pairs import compare_pairs
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method, Verdicts
from rigmark.bench.analysis.statistics.decision import FLOOR, LOOKS, Verdict
from rigmark.bench.enums import Clock, Outcome, TrialKind
from rigmark.bench.store.record import Record
from tests.records import CASE, MACHINE, as_stored, build_facts, make_record, pair

ITSELF = {"name": "default", "code_version": "c0de", **build_facts()}


def pairs(
    slowdown: float = 1.0, count: int = 12, *, spread: float = 0.005, seed: int = 0, first: int = 0,
    base: dict[str, Any] | None = None, **facts: Any,
) -> list[Record]:
    rng = np.random.default_rng(seed)
    records = []
    for repetition in range(first, first + count):
        times_s = [0.01 * slowdown * float(np.exp(rng.normal(0, spread)))] * 10
        record = make_record(TrialKind.PAIR, repetition=repetition, pair=pair([0.01] * 10, times_s), **facts)
        identity = record.identity if base is None else replace(record.identity, base=base)
        records.append(replace(record, identity=identity))
    return records


def compared(records: Sequence[Record], **options: Any) -> Verdicts:
    return compare_pairs([as_stored(record) for record in records], names=("stable", "nightly"), **options)


def only(verdicts: Verdicts) -> CaseVerdict:
    (case,) = verdicts.cases
    return case


@pytest.mark.parametrize(
    ("slowdown", "expected"), [(1.0, Verdict.SAME), (1.05, Verdict.SLOWER), (1 / 1.05, Verdict.FASTER)]
)
def test_stored_pairs_are_judged_again(slowdown: float, expected: Verdict):
    case = only(compared(pairs(slowdown)))

    assert (case.verdict, case.method) == (expected, Method.TURNS)
    assert case.change == pytest.approx(slowdown - 1, abs=0.006)
    assert case.differs == ("packages: torch 2.12.0 against 2.13.0",)


def test_pairs_of_two_sessions_count_together():
    records = [*pairs(1.05, 6, session="1"), *pairs(1.05, 6, session="2", seed=1, first=6)]

    assert only(compared(records[:6])).verdict is Verdict.INCONCLUSIVE
    assert only(compared(records)).verdict is Verdict.SLOWER


def test_pairs_of_two_machines_do_not():
    other = replace(MACHINE, cpu="Intel Xeon")

    verdicts = compared([*pairs(1.05, 6), *pairs(1.05, 6, machine=other, first=6)])

    assert [case.verdict for case in verdicts.cases] == [Verdict.INCONCLUSIVE] * 2


def test_pairs_that_other_code_took_are_distinguished():
    verdicts = compared([*pairs(1.05), *pairs(code_version="new", first=12)])

    assert [case.verdict for case in verdicts.cases] == [Verdict.SLOWER, Verdict.SAME]
    assert ["(code_version c0de)" in case.label for case in verdicts.cases] == [True, False]


def test_failed_pairs_leave_a_doubt_and_fail_the_comparison():
    broken = make_record(TrialKind.PAIR, Outcome.TIMEOUT, repetition=12)

    some, none = only(compared([*pairs(), broken])), only(compared([broken]))

    assert (some.verdict, some.has_failed) == (Verdict.SAME, True)
    assert "1 of 13 pairs failed, timeout" in some.doubts[0]
    assert (none.verdict, none.has_failed, none.reason) == (None, True, "timeout: it was timeout")


def test_cpu_time_is_for_one_thread():
    many = replace(CASE, threads=2)

    assert len(compared([*pairs(), *pairs(case=many)], clock=Clock.CPU).cases) == 1
    assert len(compared([*pairs(), *pairs(case=many)]).cases) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cpu_clock_that_sees_nothing_costs_no_verdict_by_wall_time(threads: int):
    blind = [
        replace(record, pair=pair([0.01] * 10, [0.0105] * 10, cpu_share=0.0))
        for record in pairs(case=replace(CASE, threads=threads))
    ]

    assert only(compared(blind)).verdict is Verdict.SLOWER


def test_by_a_clock_that_sees_nothing_the_other_cases_are_judged():
    blind = [
        replace(record, pair=pair([0.01] * 10, [0.0105] * 10, cpu_share=0.0))
        for record in pairs(case=replace(CASE, local_batch=64))
    ]

    judged, unknown = compared([*pairs(1.05), *blind], clock=Clock.CPU).cases

    assert judged.verdict is Verdict.SLOWER
    assert (unknown.verdict, unknown.has_failed) == (None, True)
    assert "leave --clock cpu out" in str(unknown.reason)


# Noise --------------------------------------------------------------------------------------------------------------


def test_a_quiet_machine_sees_small_changes_soon():
    def visible(spread: float, minutes: int) -> float:
        records = pairs(count=24, spread=spread, base=ITSELF, wall_time_s=2.0)
        (case,) = by_case([as_stored(record) for record in records])
        return case.visible[minutes] or math.inf

    assert visible(0.005, 1) == FLOOR
    assert visible(0.05, 1) > visible(0.05, 20) > FLOOR


def test_a_minute_too_short_for_a_look_sees_nothing():
    records = pairs(count=12, base=ITSELF, wall_time_s=60 / (LOOKS[0] - 1))

    (case,) = by_case([as_stored(record) for record in records])

    assert case.visible[1] is None
    assert case.visible[5] is not None


def test_only_a_build_with_itself_on_this_machine_is_noise():
    records = [*pairs(), *pairs(base=ITSELF, machine=replace(MACHINE, cpu="Intel Xeon"))]

    assert by_case([as_stored(record) for record in records], machine=MACHINE.id) == []


def test_the_latest_facts_count():
    old = pairs(count=12, base={**ITSELF, "code_version": "old"}, code_version="old", spread=0.05)
    now = pairs(count=6, base=ITSELF, first=12)

    (case,) = by_case([as_stored(record) for record in (*now, *old)])

    assert case.pairs == 6


def test_what_disturbs_is_named():
    contended = [
        replace(record, pair=pair([0.01] * 10, [0.01] * 10, cpu_share=0.5)) for record in pairs(base=ITSELF)
    ]

    (case,) = by_case([as_stored(record) for record in contended])
    text = reports.render("markdown", document([case], title="Noise"))

    assert "wall time is 2.00 times CPU time" in text


def test_a_cpu_clock_that_sees_nothing_is_reported():
    blind = [replace(record, pair=pair([0.01], [0.01], cpu_share=0.0)) for record in pairs(base=ITSELF)]

    (case,) = by_case([as_stored(record) for record in blind], clock=Clock.CPU)

    assert case.is_blind
    assert "a turn took no time" in case.disturbances[0]


def test_too_few_pairs_say_so():
    (case,) = by_case([as_stored(record) for record in pairs(count=3, base=ITSELF)])

    assert case.spread is None
    assert case.is_blind
    assert "3 pairs" in reports.render("markdown", document([case], title="Noise"))
