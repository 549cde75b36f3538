"""A series is over when its source says so, or when others went on for long without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rigmark.bench.analysis.retirement import retirements
from rigmark.bench.history.series import LESS_BY_KIND, Ended, Series

DAY_S = 86_400.0
DAILY = np.arange(365)


def measured_on(days: np.ndarray | range | list[float], name: str = "step") -> Series:
    return Series(
        name=name, case="", unit="seconds", direction=LESS_BY_KIND, facts={}, values=np.ones(len(days)),
        revisions=[f"commit of day {day}" for day in days], dates_s=DAY_S * np.array(days, float),
    )


def are_over(*series: Series) -> list[bool]:
    return [result is not None for result in retirements(series)]


def test_a_python_that_was_retired_is_over_and_what_came_after_it_is_not():
    assert are_over(measured_on(range(30)), measured_on(range(30, 60))) == [True, False]


@pytest.mark.parametrize(("behind", "expected"), [(0, False), (7, False), (18, False), (19, True), (100, True)])
def test_a_machine_that_is_behind_is_over_after_a_twentieth_of_the_whole_time(behind: int, expected: bool):
    assert are_over(measured_on(DAILY[:len(DAILY) - behind]), measured_on(DAILY)) == [expected, False]


@pytest.mark.parametrize(("behind", "expected"), [(5, False), (11, False), (12, True)])
def test_in_a_young_history_it_takes_as_many_points_as_would_show_a_change(behind: int, expected: bool):
    assert are_over(measured_on(DAILY[:30 - behind]), measured_on(DAILY[:30])) == [expected, False]


@pytest.mark.parametrize(("silent_months", "expected"), [(3, False), (11, False), (13, True)])
def test_what_is_measured_once_a_month_has_more_time_than_what_is_measured_every_day(
    silent_months: int, expected: bool
):
    days = np.arange(3 * 365)

    assert are_over(measured_on(days[:len(days) - 30 * silent_months:30]), measured_on(days)) == [expected, False]


def test_a_weekly_batch_of_many_commits_a_day_is_not_over_before_the_next():
    commits = np.arange(20 * 365) / 20

    assert are_over(measured_on(commits[:-20 * 6]), measured_on(commits)) == [False, False]


def test_a_benchmark_that_was_tried_a_few_times_long_ago_is_over():
    assert are_over(measured_on([100.0]), measured_on([100.0, 101.0, 102.0]), measured_on(DAILY)) == [True, True, False]


def test_a_series_that_is_still_tried_and_fails_is_not_retired():
    tried = [(f"commit of day {day}", DAY_S * day) for day in DAILY]

    assert are_over(replace(measured_on(DAILY[:100]), tried=tried), measured_on(DAILY)) == [False, False]


def test_a_series_that_its_source_no_longer_has_is_retired_although_it_was_measured_last():
    assert are_over(replace(measured_on(DAILY), ended=Ended.PARAMETERS), measured_on(DAILY)) == [True, False]


def test_a_series_that_stands_alone_is_never_retired():
    assert are_over(measured_on([0.0, 0.0, 0.0])) == [False]
    assert are_over(measured_on([])) == [False]
    assert are_over() == []
