"""The estimator against enumeration, against SciPy's test, and against what 95 % promises."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rigmark.bench.analysis.statistics.estimate import (
    CONFIDENCE,
    FEWEST_FOR_INTERVAL,
    Estimate,
    estimate,
    signed_rank_quantile,
    walsh_averages,
)

times = st.floats(1e-6, 1e3)
samples = st.lists(times, min_size=1, max_size=15)


@cache
def signed_rank_distribution(count: int) -> np.ndarray:
    """Sum of the positive ranks for every one of the 2**count signs, sorted."""
    signs = np.array(list(itertools.product((0, 1), repeat=count)))
    return np.sort(signs @ np.arange(1, count + 1))


@pytest.mark.parametrize("tail", [0.25, 0.1, 0.05, 0.025, 0.005, 0.0005])
@pytest.mark.parametrize("count", range(1, 13))
def test_the_quantile_is_that_of_all_signs_enumerated(count: int, tail: float):
    sums = signed_rank_distribution(count)
    below = [float(np.mean(sums < k)) for k in range(count * (count + 1) // 2 + 1)]      # P(W < k)

    quantile = signed_rank_quantile(count, tail)

    assert quantile == (max(k for k, p in enumerate(below) if p <= tail) or None)


def test_a_95_percent_interval_begins_at_six():
    quantiles = [signed_rank_quantile(count, (1 - CONFIDENCE) / 2) for count in range(1, 11)]

    assert quantiles == [None] * (FEWEST_FOR_INTERVAL - 1) + [1, 3, 4, 6, 9]     # Hollander and Wolfe, table A.4


@given(logs=st.lists(st.integers(-10**6, 10**6), min_size=6, max_size=12, unique_by=abs).filter(lambda v: 0 not in v))
@settings(derandomize=True, max_examples=200)
def test_the_interval_excludes_one_where_the_signed_rank_test_rejects(logs: list[int]):
    values = [math.exp(log / 10**6) for log in logs]
    interval = estimate(values)
    assert interval.low is not None
    assert interval.high is not None

    p_value = stats.wilcoxon(logs, method="exact").pvalue

    assert (interval.low > 1 or interval.high < 1) == (p_value <= 1 - CONFIDENCE)


@given(values=samples)
@settings(derandomize=True)
def test_walsh_averages_are_the_means_of_all_pairs(values: list[float]):
    pairs = itertools.combinations_with_replacement(values, 2)

    assert walsh_averages(values).tolist() == sorted((a + b) / 2 for a, b in pairs)


@given(values=samples, scale=st.floats(1e-3, 1e3))
@settings(derandomize=True)
def test_another_unit_of_time_changes_nothing_else(values: list[float], scale: float):
    one, other = estimate(values), estimate([scale * value for value in values])

    assert other.value == pytest.approx(scale * one.value)
    if one.low is not None:
        assert other.low == pytest.approx(scale * one.low)
        assert other.high == pytest.approx(scale * one.high)


@given(values=samples)
@settings(derandomize=True)
def test_a_rate_has_the_interval_of_the_time_turned_round(values: list[float]):
    """The log scale makes "how fast" and "how long" one question."""
    time, rate = estimate(values), estimate([32 / value for value in values])
    turned = time.inverse(32)

    assert turned.value == pytest.approx(rate.value)
    assert turned.count == rate.count
    assert (turned.low is None) == (rate.low is None)
    if rate.low is not None:
        assert (turned.low, turned.high) == (pytest.approx(rate.low), pytest.approx(rate.high))


@given(values=samples, order=st.randoms(use_true_random=False))
@settings(derandomize=True)
def test_the_order_of_values_does_not_matter(values: list[float], order: object):
    shuffled = list(values)
    order.shuffle(shuffled)      # type: ignore[attr-defined]

    assert estimate(shuffled) == estimate(values)


@given(values=st.lists(times, min_size=1, max_size=5))
@settings(derandomize=True)
def test_below_six_there_is_no_interval(values: list[float]):
    ratio = estimate(values)

    assert (ratio.low, ratio.high, ratio.count) == (None, None, len(values))
    assert min(values) <= ratio.value * (1 + 1e-12)
    assert ratio.value <= max(values) * (1 + 1e-12)


@given(values=st.lists(times, min_size=8, max_size=15))
@settings(derandomize=True)
def test_more_confidence_gives_a_wider_interval_around_the_same_centre(values: list[float]):
    estimates = [estimate(values, confidence) for confidence in (0.5, 0.8, 0.95, 0.99)]

    assert len({result.value for result in estimates}) == 1
    for narrow, wide in itertools.pairwise(estimates):
        assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


def test_one_outlier_moves_the_centre_little():
    quiet = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99]

    assert estimate([*quiet, 50.0]).value == pytest.approx(estimate(quiet).value, rel=0.02)


def test_equal_values_have_an_interval_of_no_width():
    assert estimate([4.0] * 6) == Estimate(
        value=pytest.approx(4.0), low=pytest.approx(4.0), high=pytest.approx(4.0), count=6
    )


@pytest.mark.parametrize("values", [[], [0.0], [1.0, -1.0], [1.0, math.nan], [math.nan, 1.0], [1.0, math.inf]])
def test_what_is_no_time_is_refused(values: list[float]):
    with pytest.raises(ValueError, match="positive, finite values"):
        estimate(values)


@pytest.mark.parametrize("count", [6, 10])
def test_the_interval_covers_the_truth_as_often_as_it_promises(count: int):
    rng = np.random.default_rng(count)
    repeats = 2000
    intervals = [estimate(rng.lognormal(0, 0.1, count).tolist()) for _ in range(repeats)]

    coverage = float(np.mean([i.low <= 1 <= i.high for i in intervals]))

    quantile = signed_rank_quantile(count, 0.025)
    exact = 1 - 2 * float(np.mean(signed_rank_distribution(count) < quantile))
    assert exact >= 0.95
    assert coverage == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / repeats))
