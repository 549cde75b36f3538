"""Is one case faster than another that ran beside it, repetition by repetition?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, key, rows_of, step_times
from rigmark.bench.analysis.results.validity import without_invalid
from rigmark.bench.analysis.statistics.decision import Verdict, judge
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate
from rigmark.bench.enums import Outcome, TrialKind

Repetition = tuple[str, int]
"""A run's id, and which repetition of it: those of two runs are two times, and drift would pass for a difference."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How this case stands to a baseline of the same session."""

    verdict: Verdict
    speed_up: Estimate               # time of the baseline / time of this: above 1 is faster

    @property
    def is_paired(self) -> bool:
        """False where no run measured a repetition of both: then there is a ratio, and no verdict."""
        return self.speed_up.count > 0


def compare(baseline_s: Mapping[Repetition, float], this_s: Mapping[Repetition, float]) -> Comparison | None:
    """Step times by repetition: equal repetitions ran one near the other and make a pair. None without any times."""
    if not (baseline_s and this_s):
        return None
    pairs = sorted(baseline_s.keys() & this_s.keys())
    if pairs:
        speed_up = estimate([baseline_s[pair] / this_s[pair] for pair in pairs])
        return Comparison(verdict=judge(speed_up), speed_up=speed_up)
    ratio = estimate([*baseline_s.values()]).value / estimate([*this_s.values()]).value
    return Comparison(
        verdict=Verdict.INCONCLUSIVE, speed_up=Estimate(value=ratio, low=None, high=None, count=0)
    )


def by_repetition(trials: pd.DataFrame) -> dict[tuple[Any, ...], dict[Repetition, float]]:
    """Step times by repetition of each group of alike timing trials (by ALIKE_COLUMNS), but for invalid ones."""
    measured = without_invalid(trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)])
    times: dict[tuple[Any, ...], dict[Repetition, float]] = {}
    for trial in rows_of(measured[[*ALIKE_COLUMNS, "run_id", "repetition", "timings_s"]]):
        (time_s,) = step_times([trial["timings_s"]], int(trial["steps_per_timing"]))
        times.setdefault(key(trial, ALIKE_COLUMNS), {})[repetition(trial)] = time_s
    return times


def repetition(trial: Mapping[str, Any]) -> Repetition:
    return str(trial["run_id"]), int(trial["repetition"])
