"""Each doubt fires on its cause, with evidence, and stays silent otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from bench.analysis.findings import RULES, Evidence, Finding, FindingKind, findings
from bench.analysis.statistics import Estimate

STEADY = [0.010] * 20
CLEAR = Estimate(value=0.010, low=0.0099, high=0.0101, count=8)


def evidence(
    timings_s: Sequence[Sequence[float]] = (STEADY,) * 8, *, other_cores: float | Sequence[float] = 0.0,
    step_time_s: Estimate = CLEAR, failed: Sequence[tuple[str, str]] = (),
) -> Evidence:
    """Trials with these timings; ``other_cores`` is how many cores other processes kept busy, in all or in each."""
    cores = [other_cores] * len(timings_s) if isinstance(other_cores, float) else other_cores
    measured = pd.DataFrame({
        "timings_s": list(timings_s), "host_times_s": list(timings_s),
        "other_cpu_time_s": [busy * sum(times) for times, busy in zip(timings_s, cores, strict=True)],
    })
    return Evidence(
        measured=measured, failed=pd.DataFrame(failed, columns=["outcome", "reason"]), step_time_s=step_time_s,
        threads=1,
    )


def ids(of: Evidence) -> list[str]:
    return [finding.id for finding in findings(of)]


def only(of: Evidence) -> Finding:
    finding, = findings(of)
    return finding


def test_a_good_result_raises_no_doubt():
    assert ids(evidence()) == []


def test_failed_trials_beside_good_ones_are_told():
    found = only(evidence(failed=[("timeout", "no answer within 600 s"), ("crashed", "killed by SIGSEGV")]))

    assert (found.id, found.kind) == ("failed_trials", FindingKind.WARNING)
    assert "2 of 10 trials failed (timeout: no answer within 600 s)" in found.text


@pytest.mark.parametrize("count", [1, 5])
def test_few_trials_are_told(count: int):
    found = only(evidence(step_time_s=Estimate(value=0.01, low=None, high=None, count=count)))

    assert (found.id, found.kind) == ("few_trials", FindingKind.NOTE)
    assert f"{count} trial" in found.text
    assert "--repetitions" in found.text


def test_other_work_on_the_machine_is_told():
    found = only(evidence(other_cores=[0.0] * 5 + [1.2, 1.4, 1.6]))

    assert (found.id, found.kind) == ("contended", FindingKind.WARNING)
    assert "kept 1.4 cores busy while steps were timed in 38% of the trials" in found.text


def test_other_work_that_is_little_rare_or_unknown_is_not_told():
    assert ids(evidence(other_cores=0.09)) == []
    assert ids(evidence(other_cores=[1.5] + [0.0] * 7)) == []
    assert ids(evidence(other_cores=math.nan)) == []


@pytest.mark.parametrize("factor", [1.2, 1 / 1.2])
def test_steps_that_get_slower_or_faster_are_told(factor: float):
    moving = [0.010] * 10 + [0.010 * factor] * 10

    found = only(evidence([moving] * 3 + [STEADY] * 5))

    assert (found.id, found.kind) == ("drifting", FindingKind.WARNING)
    assert "38% of the trials" in found.text


def test_drift_in_one_trial_of_eight_or_by_little_is_not_told():
    moving, hardly = [0.010] * 10 + [0.012] * 10, [0.010] * 10 + [0.0104] * 10

    assert ids(evidence([moving] + [STEADY] * 7)) == []
    assert ids(evidence([hardly] * 8)) == []


def test_scattered_slow_steps_are_no_drift():
    assert ids(evidence([[0.010, 0.010, 0.010, 0.030] * 5] * 8)) == []


def test_a_trial_of_one_timing_cannot_drift():
    assert ids(evidence([[0.010]] * 8)) == []


def test_a_wide_interval_is_told():
    found = only(evidence(step_time_s=Estimate(value=0.010, low=0.009, high=0.0108, count=8)))

    assert (found.id, found.kind) == ("wide_interval", FindingKind.NOTE)
    assert "spans 20%" in found.text


def test_doubts_add_up():
    few = Estimate(value=0.01, low=None, high=None, count=2)

    assert ids(evidence(other_cores=0.5, step_time_s=few, failed=[("crashed", "")])) == [
        "failed_trials", "few_trials", "contended"
    ]


def test_every_rule_is_named_like_what_it_finds():
    causes = [
        evidence(failed=[("crashed", "")]), evidence(step_time_s=Estimate(value=1.0, low=None, high=None, count=1)),
        evidence(other_cores=0.5), evidence([[0.010] * 10 + [0.020] * 10] * 8),
        evidence(step_time_s=Estimate(value=1.0, low=1.0, high=2.0, count=8)),
    ]

    assert [rule.__name__ for rule in RULES] == [only(cause).id for cause in causes]
