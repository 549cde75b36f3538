"""Each doubt fires on its cause, with evidence, and stays silent otherwise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from rigmark.bench.analysis.results.findings import (
    LAYER_RULES,
    RULES,
    Evidence,
    Finding,
    FindingKind,
    IsaFigures,
    LayerFigures,
    WorldFigures,
    findings,
    layer_findings,
    unevenness,
)
from rigmark.bench.analysis.statistics.estimate import Estimate

STEADY = [0.010] * 20
CLEAR = Estimate(value=0.010, low=0.0099, high=0.0101, count=8)


def evidence(
    timings_s: Sequence[Sequence[float]] = (STEADY,) * 8, *, other_cores: float | Sequence[float] = 0.0,
    step_time_s: Estimate = CLEAR, failed: Sequence[tuple[str, str]] = (),
) -> Evidence:
    """Trials with these timings; ``other_cores`` is how many cores other processes kept busy, in all or in each."""
    cores = [other_cores] * len(timings_s) if isinstance(other_cores, float) else other_cores
    measured = [
        {"timings_s": times, "host_times_s": times, "other_cpu_time_s": busy * sum(times)}
        for times, busy in zip(timings_s, cores, strict=True)
    ]
    not_measured = [{"outcome": outcome, "reason": reason} for outcome, reason in failed]
    return Evidence(measured=measured, failed=not_measured, step_time_s=step_time_s, threads=1)


def held(proof: str, *levels: str | None) -> Evidence:
    """Of a case that was held to AVX2, in which these levels ran."""
    operations = {
        name: {"level": level, "evidence": "3 of 90 samples were in vector instructions, which is too few"}
        for name, level in zip(("convolution", "gemm", "elementwise"), levels, strict=False)
    }
    return dataclasses.replace(evidence(), isa=IsaFigures(asked="avx2", proof=proof, evidence=operations))


def world(**changes: Any) -> Evidence:
    """Of a case on two devices that work alike, but for the changes."""
    usual = {"size": 2, "threads": 1, "is_oversubscribed": False, "rank_spread": 1.0}
    return dataclasses.replace(evidence(), world=WorldFigures(**{**usual, **changes}))


def ids(of: Evidence) -> list[str]:
    return [finding.id for finding in findings(of)]


def only(of: Evidence) -> Finding:
    finding, = findings(of)
    return finding


def test_a_good_result_raises_no_doubt():
    assert ids(evidence()) == []


def test_an_instruction_set_that_was_asked_for_and_ran_raises_no_doubt():
    assert ids(held("avx2", "avx2", "avx2", "avx2")) == []
    native = IsaFigures(asked="native", proof="mixed")
    assert ids(dataclasses.replace(evidence(), isa=native)) == []


@pytest.mark.parametrize(
    ("proof", "levels"), [("mixed", ("avx512", "avx2", "avx2")), ("avx512", ("avx512", "avx512", "avx512"))]
)
def test_another_instruction_set_than_was_asked_for_is_reported_and_not_called_by_its_name(
    proof: str, levels: Sequence[str]
):
    finding = only(held(proof, *levels))

    assert (finding.id, finding.kind) == ("isa_mixed", FindingKind.WARNING)
    assert "avx2 was asked for, and something else ran (convolution avx512" in finding.text
    assert "do not call it a figure of avx2" in finding.text


def test_an_instruction_set_that_is_not_proven_is_reported_with_the_reason():
    finding = only(held("not proven", "avx2", None, "avx2"))

    assert (finding.id, finding.kind) == ("isa_not_proven", FindingKind.WARNING)
    assert "(gemm: 3 of 90 samples were in vector instructions, which is too few)" in finding.text
    assert [f.id for f in findings(held("not proven"))] == ["isa_not_proven"]


def test_failed_trials_beside_good_ones_are_reported():
    finding = only(evidence(failed=[("timeout", "no answer within 600 s"), ("crashed", "killed by SIGSEGV")]))

    assert (finding.id, finding.kind) == ("failed_trials", FindingKind.WARNING)
    assert "2 of 10 trials failed (timeout: no answer within 600 s)" in finding.text


@pytest.mark.parametrize("count", [1, 5])
def test_few_trials_are_reported(count: int):
    finding = only(evidence(step_time_s=Estimate(value=0.01, low=None, high=None, count=count)))

    assert (finding.id, finding.kind) == ("few_trials", FindingKind.NOTE)
    assert f"{count} trial" in finding.text
    assert "--repetitions" in finding.text


def test_other_work_on_the_machine_is_reported():
    finding = only(evidence(other_cores=[0.0] * 5 + [1.2, 1.4, 1.6]))

    assert (finding.id, finding.kind) == ("contended", FindingKind.WARNING)
    assert "kept 1.4 cores busy while steps were timed in 38% of the trials" in finding.text


def test_other_work_that_is_little_rare_or_unknown_is_not_reported():
    assert ids(evidence(other_cores=0.09)) == []
    assert ids(evidence(other_cores=[1.5] + [0.0] * 7)) == []
    assert ids(evidence(other_cores=math.nan)) == []


@pytest.mark.parametrize("factor", [1.2, 1 / 1.2])
def test_steps_that_get_slower_or_faster_are_reported(factor: float):
    moving = [0.010] * 10 + [0.010 * factor] * 10

    finding = only(evidence([moving] * 3 + [STEADY] * 5))

    assert (finding.id, finding.kind) == ("drifting", FindingKind.WARNING)
    assert "38% of the trials" in finding.text


def test_drift_in_one_trial_of_eight_or_by_little_is_not_reported():
    moving, hardly = [0.010] * 10 + [0.012] * 10, [0.010] * 10 + [0.0104] * 10

    assert ids(evidence([moving] + [STEADY] * 7)) == []
    assert ids(evidence([hardly] * 8)) == []


def test_scattered_slow_steps_are_no_drift():
    assert ids(evidence([[0.010, 0.010, 0.010, 0.030] * 5] * 8)) == []


def test_a_trial_of_one_timing_cannot_drift():
    assert ids(evidence([[0.010]] * 8)) == []


def test_a_wide_interval_is_reported():
    finding = only(evidence(step_time_s=Estimate(value=0.010, low=0.009, high=0.0108, count=8)))

    assert (finding.id, finding.kind) == ("wide_interval", FindingKind.NOTE)
    assert "spans 20%" in finding.text


def test_several_findings_stand_beside_one_result():
    few = Estimate(value=0.01, low=None, high=None, count=2)

    assert ids(evidence(other_cores=0.5, step_time_s=few, failed=[("crashed", "")])) == [
        "failed_trials", "few_trials", "contended"
    ]


def test_devices_that_take_turns_make_a_figure_suspect_and_uneven_ranks_are_noted():
    assert [] == ids(world(rank_spread=None)) == ids(world(rank_spread=1.2))
    assert (FindingKind.WARNING, True) == (
        only(world(size=4, is_oversubscribed=True)).kind, "4 devices of 1 thread each" in only(
            world(size=4, is_oversubscribed=True)).text)
    assert only(world(size=1, threads=9, is_oversubscribed=True)).text.startswith("9 threads took turns on fewer cores")
    assert FindingKind.NOTE is only(world(rank_spread=1.5)).kind


def test_every_rule_is_named_like_what_it_finds():
    causes = [
        evidence(failed=[("crashed", "")]), dataclasses.replace(evidence(), clones_of="0de1" * 3),
        evidence(step_time_s=Estimate(value=1.0, low=None, high=None, count=1)),
        evidence(other_cores=0.5), evidence([[0.010] * 10 + [0.020] * 10] * 8),
        evidence(step_time_s=Estimate(value=1.0, low=1.0, high=2.0, count=8)), world(is_oversubscribed=True),
        world(rank_spread=1.5), held("mixed"), held("not proven"),
    ]

    assert [rule.__name__ for rule in RULES] == [only(cause).id for cause in causes]


# Layers -------------------------------------------------------------------------------------------------------------


def layers(**changes: Any) -> LayerFigures:
    """Of a step that is fully accounted for, but for the changes."""
    return LayerFigures(**{"cover": 0.98, "overhead": 1.01, "closure": 0.99, "problem": None, **changes})


def about(of: LayerFigures) -> Finding:
    finding, = layer_findings(of)
    return finding


def test_layers_that_add_up_raise_no_doubt():
    assert () == layer_findings(layers())
    assert () == layer_findings(layers(closure=None))
    assert () == layer_findings(layers(cover=0.90, closure=1.10, overhead=1.10))


def test_findings_about_layers_stand_beside_those_of_the_result_and_do_not_make_it_suspect():
    of = dataclasses.replace(evidence(), layers=layers(closure=0.7, cover=0.7))

    assert ids(of) == ["layer_closure", "layer_cover"]
    assert {FindingKind.NOTE} == {finding.kind for finding in findings(of)}


def test_time_that_belongs_to_no_layer_is_what_closure_misses():
    closure, cover = layer_findings(layers(cover=0.71, closure=0.72))

    assert "add up to 72% of the timed step (29% of the step belongs to no layer, loss or optimizer)" in closure.text
    assert cover.text.startswith("its layers add up to 71% of the step that they were timed in: 29% of the step")


def test_slow_instruments_are_what_closure_has_too_much():
    closure, overhead = layer_findings(layers(overhead=1.4, closure=1.38))

    assert "138% of the timed step (instrumented steps took 1.40x the plain ones)" in closure.text
    assert "layer_overhead" == overhead.id


def test_another_state_of_the_machine_is_told_by_its_plain_steps():
    assert "plain steps beside them took 0.70x the timed ones" in about(layers(closure=0.98 * 1.01 * 0.7)).text


def test_a_few_long_steps_are_distinguished_from_another_state_of_the_machine():
    closure, uneven = layer_findings(layers(unevenness=4.0, closure=0.98 * 1.01 * 4.0))

    assert "the machine was in another state" not in closure.text
    assert "their mean is 4.00x their median" in closure.text
    assert "layer_uneven" == uneven.id
    assert 4.0 == unevenness([1.0] * 9 + [31.0])


def test_steps_that_are_shorter_than_most_are_not_called_longer():
    uneven = about(layers(unevenness=0.77))

    assert "layer_uneven" == uneven.id
    assert "some instrumented steps were much shorter than most" in uneven.text
    assert "their mean is 0.77x their median" in uneven.text
    assert 0.6 == pytest.approx(unevenness([0.1] * 4 + [1.0] * 5))


def test_time_that_is_booked_twice_is_no_negative_rest():
    closure, _ = layer_findings(layers(cover=1.12, closure=1.12))

    assert "some time is assigned to more than one layer" in closure.text


def test_small_causes_that_only_together_exceed_a_tenth_are_all_named():
    text = about(layers(cover=0.93, overhead=0.95, closure=0.93 * 0.95 * 0.98)).text

    assert "7% of the step belongs to no layer" in text
    assert "instrumented steps took 0.95x the plain ones" in text
    assert "0.98x the timed ones" in text


def test_a_trace_that_is_cut_short_is_the_reason_for_what_is_missing():
    closure, cover, trace = layer_findings(layers(cover=0.5, closure=0.5, problem="its buffer was full"))

    assert all("its buffer was full" in finding.text for finding in (closure, cover, trace))


def test_an_empty_trace_is_reported():
    told = layer_findings(layers(cover=0.0, closure=0.0, problem="it holds no kernel"))

    assert ["layer_closure", "layer_cover", "layer_trace"] == [finding.id for finding in told]
    assert "100% of the step belongs to no layer" in told[0].text


def test_layers_of_another_program_are_told_even_where_they_add_up():
    finding = about(layers(variables={"XLA_FLAGS": "--apart"}))

    assert "layer_program" == finding.id
    assert "XLA_FLAGS=--apart" in finding.text
    closure, _ = layer_findings(layers(variables={"XLA_FLAGS": "--apart"}, closure=0.6))
    assert "in another program, with XLA_FLAGS=--apart" in closure.text


def test_layers_that_are_too_short_are_counted_and_some_named():
    assert "5 of its layers took less time than the clock can resolve (a, b, c, ...)" in about(
        layers(too_short=("a", "b", "c", "d", "e"))
    ).text


def test_a_layer_that_beats_the_peak_makes_the_peak_doubtful():
    assert "ran at 3.2x this machine's measured peak" in about(layers(of_peak=3.2)).text
    assert () == layer_findings(layers(of_peak=1.05))


def test_a_step_that_beats_the_peak_makes_it_doubtful_too():
    assert "its whole step ran at 104.0% of this machine's measured peak" in about(layers(of_peak=1.08, mfu=1.04)).text
    assert "a layer of it ran at 3.2x" in about(layers(of_peak=3.2, mfu=1.04)).text
    assert () == layer_findings(layers(mfu=0.99))


def test_every_rule_about_layers_is_named_like_what_it_finds():
    causes = [
        layers(closure=0.8), layers(cover=0.8), layers(overhead=1.3), layers(unevenness=1.3),
        layers(problem="it was cut short"), layers(variables={"A": "1"}), layers(too_short=("a",)), layers(of_peak=2.0),
    ]

    assert [rule.__name__ for rule in LAYER_RULES] == [about(cause).id for cause in causes]
