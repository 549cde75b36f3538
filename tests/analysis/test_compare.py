"""Faster, slower, same, or not to be said."""

from __future__ import annotations

import pytest

from bench.analysis.compare import compare
from bench.analysis.decision import DELTA, FLOOR, Verdict, judge
from bench.analysis.statistics import Estimate


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
    slow = dict(enumerate(times_s))
    quick = {i: t / 1.2 for i, t in enumerate(times_s)}

    there, back = compare(slow, quick), compare(quick, slow)

    assert there is not None
    assert back is not None
    assert (there.verdict, back.verdict) == (Verdict.FASTER, Verdict.SLOWER)
    assert there.speed_up.value == pytest.approx(1.2)
    assert back.speed_up.value == pytest.approx(1 / 1.2)


def test_drift_that_falls_on_both_alike_cancels_in_pairs():
    drift = [1.0, 1.3, 1.7, 2.2, 2.9, 3.7]
    wobble = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99]

    quicker = [d * w / 1.1 for d, w in zip(drift, wobble, strict=True)]

    found = compare(dict(enumerate(drift)), dict(enumerate(quicker)))

    assert found is not None
    assert found.verdict is Verdict.FASTER


def test_only_repetitions_that_both_have_are_compared():
    found = compare({0: 1.0, 1: 1.0, 7: 99.0}, {1: 0.5, 0: 0.5, 3: 99.0})

    assert found is not None
    assert (found.speed_up.value, found.speed_up.count) == (pytest.approx(2.0), 2)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_without_a_pair_there_is_nothing_to_compare():
    assert compare({0: 1.0}, {1: 1.0}) is None
    assert compare({}, {}) is None
