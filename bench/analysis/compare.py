"""Is one case faster than another, by how much, and may one say so?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.statistics import Estimate, estimate

DELTA = 0.03     # a difference below this is of no practical interest
FLOOR = 0.01     # nothing smaller is ever called faster or slower


class Verdict(StrEnum):
    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"                    # the interval lies within plus or minus DELTA
    INCONCLUSIVE = "inconclusive"


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


def judge(speed_up: Estimate) -> Verdict:
    """Faster or slower where the interval excludes 1 and the effect is above the floor; same within DELTA."""
    low, high = speed_up.low, speed_up.high
    if low is None or high is None:
        return Verdict.INCONCLUSIVE
    if low > 1 and speed_up.value >= 1 + FLOOR:
        return Verdict.FASTER
    if high < 1 and speed_up.value <= 1 / (1 + FLOOR):
        return Verdict.SLOWER
    if low >= 1 / (1 + DELTA) and high <= 1 + DELTA:
        return Verdict.SAME
    return Verdict.INCONCLUSIVE
