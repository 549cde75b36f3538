"""Steps in a series: found where they are, and not where there is only noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rigmark.bench.analysis.statistics.changepoints import (
    FEWEST,
    _best_splits,
    changes,
    critical_value,
    intervals,
    p_value,
)


def noise(count: int, seed: int = 0, spread: float = 0.02) -> np.ndarray:
    """As of continuous integration: a core of 2 %, and a tail."""
    return np.exp(spread * np.random.default_rng(seed).standard_t(3, count))


def with_step(count: int, at: int, factor: float, seed: int = 0) -> np.ndarray:
    return noise(count, seed) * np.where(np.arange(count) < at, 1.0, factor)


@pytest.mark.parametrize("factor", [1.1, 1 / 1.1])
@pytest.mark.parametrize("at", [30, 100, 190])
def test_a_step_is_found_where_it_is(at: int, factor: float):
    (change,) = changes(with_step(200, at, factor))

    assert change.low <= at <= change.high
    assert abs(change.index - at) <= 3
    assert change.ratio == pytest.approx(factor, rel=0.02)
    assert change.p_value < 0.01


def test_two_steps_of_a_long_series_are_distinguished():
    series = with_step(10_000, 4000, 1.08) * np.where(np.arange(10_000) < 4060, 1.0, 1 / 1.08)

    assert [4000, 4060] == [pytest.approx(change.index, abs=3) for change in changes(series)]


@pytest.mark.parametrize("count", [FEWEST, 50, 200, 2000])
def test_noise_alone_seldom_has_a_step(count: int):
    repeats = 100 if count < 2000 else 30

    false = sum(bool(changes(noise(count, seed))) for seed in range(repeats))

    assert false <= 4


def test_correlated_noise_is_no_step():
    """Neighbouring points alike, as on a machine that warms up and cools down, look like short levels."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(40):
        shocks = rng.normal(0, 0.02, 300)
        remembered = np.zeros(300)
        for i in range(1, 300):
            remembered[i] = 0.5 * remembered[i - 1] + shocks[i]
        false += bool(changes(np.exp(remembered)))

    assert false <= 4


def test_a_change_of_level_below_the_floor_is_no_step():
    series = np.exp(np.random.default_rng(0).normal(0, 0.001, 200)) * np.where(np.arange(200) < 100, 1.0, 1.005)

    assert changes(series) == []
    assert len(changes(series, floor=0.002)) == 1


def test_a_series_that_never_varies_has_no_step():
    assert changes(np.full(200, 0.25)) == []


def test_ties_have_no_trend():
    """Whole milliseconds: most values are equal, and their order in time means nothing."""
    series = np.random.default_rng(5).choice([10.0, 11.0, 12.0], 300)

    assert changes(series) == []


def test_a_step_of_values_that_never_vary_is_found():
    (change,) = changes(np.where(np.arange(60) < 30, 4.0, 5.0))

    assert (change.index, change.before, change.after) == (30, 4.0, 5.0)


def test_too_few_points_say_nothing():
    assert changes(np.array([1.0] * 5 + [2.0] * 5)) == []


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_value_that_has_no_ratio_is_refused(value: float):
    with pytest.raises(ValueError, match="positive and finite"):
        changes(np.array([1.0] * 30 + [value]))


@pytest.mark.parametrize("count", [16, 100, 400, 1500])
def test_the_stored_null_agrees_with_fresh_noise(count: int):
    """The chance of exceeding what is exceeded in 10 % of the cases, from other random numbers."""
    threshold = critical_value(count, 0.1)
    rng = np.random.default_rng(99)

    exceeded = np.mean([_best_splits(rng.random(count)).statistics.max() >= threshold for _ in range(300)])

    assert exceeded <= 0.1 + 3 * math.sqrt(0.09 / 300)
    assert count > 800 or exceeded >= 0.1 - 4 * math.sqrt(0.09 / 300)


def test_p_values_fall_with_the_statistic_and_rise_with_the_length():
    result = [p_value(statistic, 200) for statistic in np.linspace(0, 10, 50)]

    assert result == sorted(result, reverse=True)
    assert 0 < result[-1] < 1e-12
    assert p_value(4.5, 50) < p_value(4.5, 500) < p_value(4.5, 50_000)


@pytest.mark.parametrize("count", [12, 57, 400, 1234])
def test_intervals_cover_every_point(count: int):
    for size, starts in intervals(count):
        covered = {place for start in starts for place in range(start, start + size)}

        assert covered == set(range(count))
