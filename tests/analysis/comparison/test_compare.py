"""Faster, slower, same, or not to be said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rigmark.bench.analysis.comparison.compare import Alike, Comparison, Comparisons, Times
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS
from rigmark.bench.analysis.statistics.decision import DELTA, FALSE_ALARMS, FLOOR, Verdict, fewest_pairs, judge
from rigmark.bench.analysis.statistics.estimate import Estimate


def alike(**facts: object) -> Alike:
    return tuple(facts.get(name) for name in ALIKE_COLUMNS)


def compare(baseline_s: Times, this_s: Times) -> Comparison | None:
    """Two frameworks on one case, and nothing else."""
    baseline, this = alike(framework="a"), alike(framework="b")
    return Comparisons({baseline: baseline_s, this: this_s}).between(baseline, this)


def in_run(name: str, times_s: Sequence[float]) -> Times:
    return {(name, number): time_s for number, time_s in enumerate(times_s)}


def verdict(value: float, low: float | None, high: float | None, count: int = 10) -> Verdict:
    return judge(Estimate(value=value, low=low, high=high, count=count))


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (1.31, 1.27, 1.35, Verdict.FASTER),
        (1.015, 1.005, 1.025, Verdict.FASTER),           # above the floor, though below DELTA
        (0.76, 0.74, 0.79, Verdict.SLOWER),
        (0.985, 0.975, 0.995, Verdict.SLOWER),
        (1.005, 1.001, 1.009, Verdict.SAME),             # excludes 1, but is below the floor
        (0.995, 0.991, 0.999, Verdict.SAME),
        (1.0, 0.98, 1.02, Verdict.SAME),
        (1.005, 1.001, 1.08, Verdict.INCONCLUSIVE),      # below the floor, and not within DELTA
        (1.1, 0.99, 1.2, Verdict.INCONCLUSIVE),
        (1.0, 0.9, 1.1, Verdict.INCONCLUSIVE),
        (1.01, 0.99, 1.04, Verdict.INCONCLUSIVE),
        (0.99, 0.96, 1.01, Verdict.INCONCLUSIVE),
        (2.0, None, None, Verdict.INCONCLUSIVE),         # too few trials for an interval
    ],
)
def test_verdicts(value: float, low: float | None, high: float | None, expected: Verdict):
    assert verdict(value, low, high) is expected


def test_the_limits_themselves():
    assert verdict(1 + FLOOR, 1.0001, 1.05) is Verdict.FASTER
    assert verdict(1 / (1 + FLOOR), 0.95, 0.9999) is Verdict.SLOWER
    assert verdict(1.0, 1 / (1 + DELTA), 1 + DELTA) is Verdict.SAME
    assert verdict(1.05, 1.0, 1.1) is Verdict.INCONCLUSIVE      # an interval that touches 1 does not exclude it


@pytest.mark.parametrize("times_s", [[1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.0]])
def test_faster_read_the_other_way_is_slower(times_s: list[float]):
    slow = in_run("a", times_s)
    quick = in_run("a", [time_s / 1.2 for time_s in times_s])

    there, back = compare(slow, quick), compare(quick, slow)

    assert there is not None
    assert back is not None
    assert (there.verdict, back.verdict) == (Verdict.FASTER, Verdict.SLOWER)
    assert there.speed_up.value == pytest.approx(1.2)
    assert back.speed_up.value == pytest.approx(1 / 1.2)


def test_drift_that_falls_on_both_alike_cancels_in_pairs():
    drift = [1.0, 1.3, 1.7, 2.2, 2.9, 3.7, 4.8, 6.2]
    wobble = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0, 1.0]

    quicker = [d * w / 1.1 for d, w in zip(drift, wobble, strict=True)]

    comparison = compare(in_run("a", drift), in_run("a", quicker))

    assert comparison is not None
    assert comparison.verdict is Verdict.FASTER


def test_only_repetitions_that_both_have_are_compared():
    comparison = compare(
        {("a", 0): 1.0, ("a", 1): 1.0, ("a", 7): 99.0}, {("a", 1): 0.5, ("a", 0): 0.5, ("a", 3): 99.0}
    )

    assert comparison is not None
    assert (comparison.speed_up.value, comparison.speed_up.count) == (pytest.approx(2.0), 2)
    assert comparison.verdict is Verdict.INCONCLUSIVE


def test_what_two_runs_measured_is_a_ratio_without_interval_or_verdict():
    """However many trials: drift between the runs passes for a difference."""
    comparison = compare(in_run("a", [1.0] * 12), in_run("b", [0.5] * 12))

    assert comparison is not None
    assert (comparison.verdict, comparison.is_paired) == (Verdict.INCONCLUSIVE, False)
    ratio = comparison.speed_up
    assert (ratio.value, ratio.low, ratio.high) == (pytest.approx(2.0), None, None)


def test_a_sweep_that_was_resumed_has_the_pairs_of_both_its_runs():
    halves = [{**in_run("a", [1.0] * 3), **in_run("b", [time_s] * 6)} for time_s in (1.0, 0.5)]

    comparison = compare(*halves)

    assert comparison is not None
    assert comparison.speed_up.count == 9


def test_without_times_there_is_nothing_to_compare():
    assert compare(in_run("a", [1.0]), {}) is None


# What a verdict takes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pairs", "expected"), [
    (fewest_pairs(1, 1) - 1, Verdict.INCONCLUSIVE), (fewest_pairs(1, 1), Verdict.FASTER),
])
def test_a_verdict_takes_as_many_pairs_as_its_error_rate(pairs: int, expected: Verdict):
    comparison = compare(in_run("a", [2.0 + 0.01 * n for n in range(pairs)]), in_run("a", [1.0] * pairs))

    assert comparison is not None
    assert comparison.verdict is expected
    assert (comparison.certain is None) == (expected is Verdict.INCONCLUSIVE)
    assert comparison.speed_up.low is not None                # and a 95 % interval it has below
    assert comparison.decision is not None
    assert (comparison.decision.about_more_pairs is None) == (expected is Verdict.FASTER)


def many(clear: int, open_: int, pairs: int = 8) -> tuple[Comparisons, Alike, Alike]:
    """So many cases in which b is twice as fast as a, and so many in which they take turns; and the first clear one."""
    up_and_down = [1.0 + 0.2 * (-1) ** n for n in range(pairs)]
    times: dict[Alike, Times] = {}
    for batch in range(clear + open_):
        times[alike(framework="a", local_batch=batch)] = in_run("a", [2.0] * pairs if batch < clear else up_and_down)
        times[alike(framework="b", local_batch=batch)] = in_run("a", [1.0] * pairs)
    return Comparisons(times), alike(framework="a", local_batch=0), alike(framework="b", local_batch=0)


@pytest.mark.parametrize(("clear", "open_", "expected"), [
    (1, 0, Verdict.FASTER), (1, 1, Verdict.INCONCLUSIVE), (4, 1, Verdict.FASTER), (1, 9, Verdict.INCONCLUSIVE),
])
def test_the_cases_of_two_sides_are_judged_together(clear: int, open_: int, expected: Verdict):
    comparisons, baseline, this = many(clear, open_)

    comparison = comparisons.between(baseline, this)

    assert comparison is not None
    assert comparison.verdict is expected
    assert comparison.certain is not None
    assert (comparison.certain[0] > 1) == (expected is Verdict.FASTER)      # what is no difference is certain of none


def test_cases_of_another_session_or_of_others_are_another_question():
    comparisons, baseline, this = many(1, 0)
    others = {
        alike(framework=name, local_batch=9, **facts): in_run("a", [1.0 + wobble * (-1) ** n for n in range(8)])
        for facts in ({"session": "2"}, {"machine": "m"}) for name, wobble in (("a", 0.2), ("b", 0.0))
    }
    strangers = {
        alike(framework=name, local_batch=9): in_run("a", [1.0 + wobble * (-1) ** n for n in range(8)])
        for name, wobble in (("a", 0.2), ("c", 0.0))
    }

    comparison = Comparisons({**comparisons.times, **others, **strangers}).between(baseline, this)

    assert comparison is not None
    assert comparison.verdict is Verdict.FASTER
    assert comparison.decision is not None
    assert comparison.decision.p_value <= FALSE_ALARMS


def test_a_case_that_no_number_of_signs_could_tell_is_none_of_the_many():
    comparisons, baseline, this = many(1, 0)
    short = {
        alike(framework=name, local_batch=batch): in_run("a", [1.0, 1.1])
        for name in "ab" for batch in (8, 9)
    }

    comparison = Comparisons({**comparisons.times, **short}).between(baseline, this)

    assert comparison is not None
    assert comparison.verdict is Verdict.FASTER
