"""Is one case faster than another that ran beside it, repetition by repetition?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.decision import Verdict, judge
from bench.analysis.statistics import Estimate, estimate
from bench.analysis.summary import ALIKE_COLUMNS, key, rows_of, step_times
from bench.analysis.validity import without_invalid
from bench.words import Outcome, TrialKind


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How this case stands to a baseline of the same session."""

    verdict: Verdict
    speed_up: Estimate               # time of the baseline / time of this: above 1 is faster


def compare(baseline_s: Mapping[int, float], this_s: Mapping[int, float]) -> Comparison | None:
    """Step times by repetition: equal repetitions ran one near the other and make a pair. None without a pair."""
    pairs = sorted(baseline_s.keys() & this_s.keys())
    if not pairs:
        return None
    speed_up = estimate([baseline_s[pair] / this_s[pair] for pair in pairs])
    return Comparison(verdict=judge(speed_up), speed_up=speed_up)


def by_repetition(trials: pd.DataFrame) -> dict[tuple[Any, ...], dict[int, float]]:
    """Step times by repetition of each group of alike timing trials (by ALIKE_COLUMNS), but for invalid ones."""
    measured = without_invalid(trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)])
    times: dict[tuple[Any, ...], dict[int, float]] = {}
    for trial in rows_of(measured[[*ALIKE_COLUMNS, "repetition", "timings_s"]]):
        (time_s,) = step_times([trial["timings_s"]], int(trial["steps_per_timing"]))
        times.setdefault(key(trial, ALIKE_COLUMNS), {})[int(trial["repetition"])] = time_s
    return times
