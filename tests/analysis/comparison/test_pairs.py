"""What a pair of processes says, and what weakens it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from rigmark.bench.analysis.comparison import pairs
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method
from rigmark.bench.analysis.statistics.decision import Verdict, decide
from rigmark.bench.enums import Clock, Isa, TrialKind
from rigmark.bench.store.stored import Pair
from tests.records import CASE, as_pair, as_stored, build_facts, make_record
from tests.records import pair as plain_pair

STEADY = [0.010] * 30


def pair(*times_s: list[float], **changes: Any) -> Pair:
    return as_pair(plain_pair(*times_s, **changes))


def verdict_of(measured: list[Pair], clock: Clock = Clock.WALL) -> CaseVerdict:
    by = {each: decide([pairs.log_speed_up(result, each) for result in measured]) for each in Clock}
    twin = by[Clock.CPU] if clock is Clock.WALL else None
    return pairs.case_verdict(CASE.label, CASE.plain(), measured, by[clock], twin, clock=clock)


def test_turns_are_compared_with_the_turn_beside_them_so_that_drift_cancels():
    drifting = [0.010 * 1.05**turn for turn in range(30)]

    assert math.log(1.03) == pytest.approx(pairs.log_speed_up(pair([1.03 * t for t in drifting], drifting)))


def test_the_middle_is_that_of_the_ratios_and_not_the_ratio_of_the_middles():
    base = [0.010] * 15 + [0.020] * 15
    new = [0.0103] * 15 + [0.0206] * 8 + [0.005] * 7

    assert math.log(1 / 1.03) == pytest.approx(pairs.log_speed_up(pair(base, new)))


def test_a_few_disturbed_turns_do_not_count():
    disturbed = [0.5] * 14 + [0.010] * 16

    assert 0 == pairs.log_speed_up(pair(STEADY, disturbed))


def test_whole_processes_are_compared_by_their_undisturbed_quarter():
    disturbed = [0.5] * 20 + [0.011] * 10

    result = pairs.log_speed_up(pair(STEADY, disturbed, design="alternating"))

    assert math.log(10 / 11) == pytest.approx(result)


def test_a_turn_that_took_no_time_is_refused():
    with pytest.raises(ValueError, match="took no time"):
        pairs.log_speed_up(pair(STEADY, STEADY, cpu_share=0.0), Clock.CPU)


def test_the_step_time_is_that_of_one_step_however_many_make_a_turn():
    slow = pair([0.030] * 10, [0.060] * 10, timings_per_turn=3)

    base, new = (pairs.step_time([slow], side, 2, Clock.WALL) for side in ("base", "new"))

    assert base is not None
    assert new is not None
    assert (0.005, 0.010) == (pytest.approx(base.value), pytest.approx(new.value))


def test_a_side_that_works_while_it_should_sleep_is_doubted():
    (doubt,) = verdict_of([pair(STEADY, STEADY, idle_share=0.25)] * 12).doubts[:1]

    assert re.match("base worked for 20.0.% of the other's turns while it should have slept", doubt)
    assert not verdict_of([pair(STEADY, STEADY)] * 12).doubts


def test_cpu_time_for_reading_a_command_of_the_turns_raises_no_doubt():
    short = [0.001] * 30

    assert not verdict_of([pair(short, short, idle_share=0.4)] * 12).doubts


def test_alternating_processes_are_labelled_with_the_reason():
    verdict = verdict_of([pair(STEADY, STEADY)] * 6 + [pair(STEADY, STEADY, design="alternating")] * 6)

    assert Method.ALTERNATING is verdict.method
    assert "whole processes alternated in 6 pairs of 12: one process held 9.00 GB at its peak" == verdict.doubts[-1]


def test_cpu_time_speaks_up_where_it_says_another_thing_than_wall_time():
    measured = []
    for index in range(12):
        result = plain_pair(STEADY, [0.010 * (1 + 0.3 * (-1) ** index)] * 30)
        result["new"]["cpu_times_s"] = [(0.0099 + 0.000001 * index) * 1.05] * 30
        measured.append(as_pair(result))

    result = verdict_of(measured)

    assert Verdict.SLOWER is not result.verdict
    assert any(doubt.startswith("by CPU time it is slower: +5") for doubt in result.doubts)
    assert Verdict.SLOWER is verdict_of(measured, Clock.CPU).verdict


def test_a_core_that_others_use_too_is_a_reason_to_ask_the_cpu_clock():
    measured = [pair(STEADY, [0.010 * (1 + 0.3 * (-1) ** i)] * 30, cpu_share=0.5) for i in range(12)]

    assert any("--clock cpu" in doubt for doubt in verdict_of(measured).doubts)


def test_what_differs_between_the_builds_is_reported_and_nothing_else():
    old, new = build_facts("2.12.0", MKL_DYNAMIC="1"), build_facts("2.13.0")

    def told(base: dict[str, Any], *, code_version: str = "c0de", isa: Isa = Isa.NATIVE) -> tuple[str, ...]:
        record = make_record(TrialKind.PAIR, case=replace(CASE, isa=isa), build=new, code_version=code_version)
        stated = {"name": "stable", "code_version": "c0de", **base}
        return pairs.differences(as_stored(replace(record, identity=replace(record.identity, base=stated))).identity)

    assert ("packages: torch 2.12.0 against 2.13.0", "variables: MKL_DYNAMIC 1 against not set") == told(old)
    assert ("code_version: c0de against beef",) == told(new, code_version="beef")
    assert () == told(new) == told({**new, "isa": "native"}) == told({**new, "isa": "avx2"}, isa=Isa.AVX2)
    assert ("isa: native against avx2",) == told(new, isa=Isa.AVX2)
