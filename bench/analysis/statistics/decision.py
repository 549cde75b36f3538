"""From pairs measured in turns to a verdict: when to stop, what may be said, and how many more pairs it would take.

A coin decides which side of a pair goes first, so the sign of a pair's log ratio is a fair coin where nothing differs,
whatever the noise, its tails or its drift: the exact signed-rank test needs no more (Lehmann, "Nonparametrics", 1975).
Pairs are looked at after fixed numbers of them, and each look has an equal share of the allowed error: a union bound,
which holds whatever the looks have in common and for whatever reason one stops (Jennison and Turnbull 1984, repeated
confidence intervals). Over many cases the share of false alarms is held by Benjamini and Hochberg 1995.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.analysis.statistics.estimate import (
    CONFIDENCE,
    FEWEST_FOR_INTERVAL,
    Estimate,
    estimate,
    signed_rank_p,
)

DELTA = 0.03         # a difference below this is of no practical interest
FLOOR = 0.01         # nothing smaller is ever called faster or slower
FALSE_ALARMS = 0.01  # of the cases called faster or slower, the share that may be neither; with one case: its chance
POWER = 0.95         # with which a difference of DELTA is to be found

PILOT = 8            # pairs: what the noise looks like, no verdict of faster or slower can be reached yet
LOOKS = (12, 16, 24, 32, 48, 64)
"""Numbers of pairs after which a case is judged; the last is the most that is ever needed."""


class Verdict(StrEnum):
    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"                    # the interval lies within plus or minus DELTA
    INCONCLUSIVE = "inconclusive"    # more pairs would tell
    TOO_NOISY = "too_noisy"          # as many pairs as there is time for would not tell


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the pairs of one case say."""

    verdict: Verdict
    speed_up: Estimate | None        # base time / new time: above 1, new is faster. Its 95 % interval holds at every
                                     # look; None without pairs
    p_value: float                   # that nothing differs, for all looks so far together; 1.0 before the first
    pairs: int                       # those judged: of the latest look
    about_more_pairs: int | None     # until this effect, or one of DELTA, would be seen; None where it is decided
    visible: float | None            # least change that the pairs there is time for would show, 0.04 for 4 %; None
                                     # before the pilot is done
    is_hopeless: bool = False        # more pairs are a waste of time

    @property
    def is_final(self) -> bool:
        """No more pairs are wanted. Few pairs know their spread badly: "too noisy" is final only where it is sure."""
        return self.is_hopeless or self.verdict in (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME)


def judge(speed_up: Estimate, *, is_significant: bool | None = None) -> Verdict:
    """Faster or slower where the effect is significant and above the floor; same within DELTA.

    ``is_significant`` left out: where the interval excludes 1.
    """
    low, high = speed_up.low, speed_up.high
    if low is None or high is None:
        return Verdict.INCONCLUSIVE
    if is_significant is None:
        is_significant = low > 1 or high < 1
    if is_significant and speed_up.value >= 1 + FLOOR:
        return Verdict.FASTER
    if is_significant and speed_up.value <= 1 / (1 + FLOOR):
        return Verdict.SLOWER
    if low >= 1 / (1 + DELTA) and high <= 1 + DELTA:
        return Verdict.SAME
    return Verdict.INCONCLUSIVE


def decide(
    log_speed_ups: Sequence[float], *, pairs_at_most: int | None = None, looks: Sequence[int] | None = LOOKS,
    cases: int = 1,
) -> Decision:
    """The decision on one case from ln(base time / new time) of each pair, in the order in which they were measured.

    Only whole looks count: pairs after the latest are left for the next, so asking again after each pair does no harm.
    ``pairs_at_most`` is what there is time for in all; None: as many as the last look has. ``looks`` None is for a
    number of pairs that was fixed beforehand: one look at all of them. ``cases`` is how many are judged together.
    Raises ValueError for a ratio that is not finite.
    """
    values = [float(value) for value in log_speed_ups]
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a pair needs a positive, finite time on both sides")
    looks, most = _looks(looks, values), _most(pairs_at_most)
    reached = [look for look in looks if look <= len(values)]
    if not reached:
        return _before_the_first_look(values, looks, most, cases)
    judged = values[:reached[-1]]
    p_value = min(1.0, len(looks) * min(signed_rank_p(values[:look]) for look in reached))
    speed_up = _repeated_interval(judged, len(looks))
    verdict = judge(speed_up, is_significant=p_value <= FALSE_ALARMS)
    return _with_prospects(
        Decision(
            verdict=verdict, speed_up=speed_up, p_value=p_value, pairs=len(judged), about_more_pairs=None, visible=None,
        ),
        judged, len(values), looks, most, cases,
    )


def decide_all(
    log_speed_ups: Mapping[str, Sequence[float]], *, pairs_at_most: int | Mapping[str, int] | None = None,
    looks: Sequence[int] | None = LOOKS, others: int = 0,
) -> dict[str, Decision]:
    """The decisions on the cases of one run: of those called faster or slower, FALSE_ALARMS at most are neither.

    ``others`` is how many more cases belong to the same question, and are judged elsewhere. A case that is significant
    alone and not among so many is inconclusive: more pairs would tell. One whose number of
    pairs was fixed at too few for any verdict is none of the many (Tarone 1990).
    """
    def limit(case: str) -> int | None:
        return pairs_at_most.get(case) if isinstance(pairs_at_most, Mapping) else pairs_at_most

    able = [case for case, values in log_speed_ups.items() if looks is not None or len(values) >= fewest_pairs(1, 1)]
    alone = {
        case: decide(values, pairs_at_most=limit(case), looks=looks, cases=len({*able, case}) + others)
        for case, values in log_speed_ups.items()
    }
    every = {case: decision.p_value for case, decision in alone.items()}
    elsewhere = {f"{number} of others": 1.0 for number in range(others)}      # where nothing may differ
    adjusted = every | false_discovery({**elsewhere, **{case: every[case] for case in able}})
    together = {}
    for case, decision in alone.items():
        together[case] = replace(decision, p_value=adjusted[case])
        if decision.verdict in (Verdict.FASTER, Verdict.SLOWER) and adjusted[case] > FALSE_ALARMS and decision.speed_up:
            values = log_speed_ups[case]
            together[case] = _with_prospects(
                replace(together[case], verdict=judge(decision.speed_up, is_significant=False)),
                values[:decision.pairs], len(values), _looks(looks, values), _most(limit(case)), len(able) + others,
            )
    return together


def false_discovery(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for their number (Benjamini and Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    if not p_values:
        return {}
    return dict(zip(p_values, map(float, false_discovery_control(list(p_values.values()))), strict=True))


def fewest_pairs(looks: int, cases: int) -> int:
    """Pairs below which no verdict is reached, however clear: n signs alike have the chance 2 ** (1 - n)."""
    return 1 + math.ceil(math.log2(looks * cases / FALSE_ALARMS))


def pairs_needed(spread: float, log_effect: float = math.log1p(DELTA), *, looks: int = len(LOOKS)) -> int:
    """Pairs that find a difference with POWER; ``spread`` is the standard deviation of the pairs' log ratios.

    That of the t-test, and a tenth more, since signs and ranks are a little less than the values themselves.
    """
    counts = 2 ** np.arange(2, 21, 0.125)
    enough = counts >= 1.1 * (_two_errors(looks, counts) * spread / log_effect) ** 2
    return int(np.ceil(counts[np.argmax(enough)])) if enough.any() else int(counts[-1])


def visible_change(spread: float, pairs: int, *, looks: int = len(LOOKS)) -> float:
    """The least change that so many pairs find with POWER, 0.04 for 4 %."""
    errors = float(_two_errors(looks, np.array([max(pairs, 2)]))[0])
    return max(math.expm1(math.sqrt(1.1 / max(pairs, 2)) * errors * spread), FLOOR)


def spread_of_pairs(log_speed_ups: Sequence[float]) -> float | None:
    """Standard deviation of pairs as their signed-rank interval has it, so that a few wild ones weigh little.

    None below 6 pairs.
    """
    from scipy import stats

    count = len(log_speed_ups)
    if count < FEWEST_FOR_INTERVAL:
        return None
    interval = estimate([math.exp(value) for value in log_speed_ups])
    assert interval.low is not None
    assert interval.high is not None
    half = math.log(interval.high / interval.low) / 2
    return float(half * math.sqrt(count) / stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))


def _two_errors(looks: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy import stats

    of_a_look = FALSE_ALARMS / looks / 2
    return np.asarray(stats.t.isf(of_a_look, counts - 1) + stats.t.isf(1 - POWER, counts - 1), np.float64)


def _repeated_interval(log_speed_ups: Sequence[float], looks: int) -> Estimate:
    """Intervals of all looks hold the truth together with 95 %."""
    return estimate([math.exp(value) for value in log_speed_ups], 1 - (1 - CONFIDENCE) / looks)


def _before_the_first_look(values: Sequence[float], looks: Sequence[int], most: int, cases: int) -> Decision:
    speed_up = estimate([math.exp(value) for value in values]) if values else None
    if speed_up is not None:
        speed_up = replace(speed_up, low=None, high=None)
    open_case = Decision(
        verdict=Verdict.INCONCLUSIVE, speed_up=speed_up, p_value=1.0, pairs=len(values),
        about_more_pairs=looks[0] - len(values), visible=None,
    )
    if len(values) < PILOT:
        return open_case
    return _with_prospects(open_case, values, len(values), looks, most, cases)


def _with_prospects(
    decision: Decision, judged: Sequence[float], measured: int, looks: Sequence[int], most: int, cases: int
) -> Decision:
    """What more pairs would bring; too noisy where all there is time for would not tell."""
    if decision.verdict is not Verdict.INCONCLUSIVE:
        return replace(decision, about_more_pairs=None)
    spread = spread_of_pairs(judged)
    fewest = fewest_pairs(len(looks), cases)
    following = next((look for look in looks if look > measured and look >= fewest), fewest)
    if spread is None:
        return replace(decision, about_more_pairs=max(following - measured, 1))
    effect = max(math.log1p(DELTA), abs(math.log(decision.speed_up.value)) if decision.speed_up else 0.0)
    needed = pairs_needed(spread, effect, looks=len(looks))
    # The standard error of a standard deviation is 1 / sqrt(2 n) of it; here two of them to the good.
    at_best = pairs_needed(spread * max(0.0, 1 - 2 / math.sqrt(2 * len(judged))), effect, looks=len(looks))
    is_spent = measured >= LOOKS[-1]
    return replace(
        decision, verdict=Verdict.TOO_NOISY if needed > most or is_spent else decision.verdict,
        is_hopeless=at_best > most or is_spent,
        about_more_pairs=max(needed - measured, following - measured, 1),
        visible=visible_change(spread, max(most, len(judged)), looks=len(looks)),
    )


def _looks(looks: Sequence[int] | None, values: Sequence[float]) -> Sequence[int]:
    return (max(len(values), 1),) if looks is None else looks


def _most(pairs_at_most: int | None) -> int:
    return LOOKS[-1] if pairs_at_most is None else min(pairs_at_most, LOOKS[-1])
