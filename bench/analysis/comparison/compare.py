"""Is one case faster than another that ran beside it, repetition by repetition?

One rule gives every verdict on what is stored: that of bench.analysis.statistics.decision, of the pairs, judged
together with the other cases in which the same two sides met. The page, rigmark compare and rigmark claims so say the
same of one folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, key, rows_of, step_times
from rigmark.bench.analysis.results.validity import without_invalid
from rigmark.bench.analysis.statistics.decision import FALSE_ALARMS, FLOOR, Decision, Verdict, decide_all
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.plan import axes

Repetition = tuple[str, int]
"""A run's id, and which repetition of it: those of two runs are two times, and drift would pass for a difference."""

Alike = tuple[Any, ...]              # of ALIKE_COLUMNS: what is equal among trials that are pooled
Times = Mapping[Repetition, float]

COVERS: Mapping[str, frozenset[str]] = {
    name: frozenset("build_facts" if fact in axes.BUILD_FACTS else fact for fact in covered)
    for name, covered in axes.COVERS.items()
}
"""Facts that make a side, the most telling first, and what cannot but differ where such a one does."""

AXES = (*COVERS, *(name for name in ALIKE_COLUMNS if name not in COVERS))
ONE_TIME = ("session", "machine", "node")
"""Of one sitting at one machine are all that are judged together."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How this case stands to a baseline of the same session."""

    ratios: tuple[float, ...]        # time of the baseline / time of this, of each pair; empty where there is none
    speed_up: Estimate               # of them, with the 95 % interval; above 1 this is faster
    decision: Decision | None        # None without a pair

    @property
    def is_paired(self) -> bool:
        """False where no run measured a repetition of both: then there is a ratio, and no verdict."""
        return bool(self.ratios)

    @property
    def verdict(self) -> Verdict:
        return Verdict.INCONCLUSIVE if self.decision is None else self.decision.verdict

    @property
    def certain(self) -> tuple[float, float] | None:
        """Between which the speed-up lies with the certainty of a verdict; None where too few pairs tell.

        Unless the verdict is that of a difference, it reaches FLOOR to either side of 1.
        """
        interval = certain(self.ratios)
        if interval is None or self.verdict in (Verdict.FASTER, Verdict.SLOWER):
            return interval
        return min(interval[0], 1 / (1 + FLOOR)), max(interval[1], 1 + FLOOR)


def certain(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval of positive values that is wrong in FALSE_ALARMS of cases, as a verdict may be; None below 8."""
    if not values:
        return None
    ratio = estimate(values, 1 - FALSE_ALARMS)
    return None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)


class Comparisons:
    """Every group of alike trials against every other that ran beside it; ``times`` are those of ``by_repetition``."""

    def __init__(self, times: Mapping[Alike, Times]) -> None:
        self.times = times
        self._decided: dict[tuple[Any, ...], dict[tuple[Alike, Alike], Decision]] = {}

    def between(self, baseline: Alike, this: Alike) -> Comparison | None:
        """How one group of alike trials stands to another; None where one of them has no times."""
        base_s, this_s = self.times.get(baseline), self.times.get(this)
        if not (base_s and this_s):
            return None
        ratios = speed_ups(base_s, this_s)
        if not ratios:
            ratio = estimate([*base_s.values()]).value / estimate([*this_s.values()]).value
            alone = Estimate(value=ratio, low=None, high=None, count=0)
            return Comparison(ratios=(), speed_up=alone, decision=None)
        return Comparison(ratios=ratios, speed_up=estimate(ratios), decision=self._decision(baseline, this))

    def _decision(self, baseline: Alike, this: Alike) -> Decision:
        axis = _axis(baseline, this)
        sides = (axis, *((_fact(each, axis) if axis else each) for each in (baseline, this)), *_facts(this, ONE_TIME))
        if sides not in self._decided:
            self._decided[sides] = {}
        known = self._decided[sides]
        if (baseline, this) not in known:
            pairs = {*self._met(axis, baseline, this), (baseline, this)}
            named = {str(number): pair for number, pair in enumerate(pairs)}
            decided = decide_all({
                name: [math.log(ratio) for ratio in speed_ups(*(self.times[each] for each in pair))]
                for name, pair in named.items()
            }, looks=None)
            known.update({named[name]: decision for name, decision in decided.items() if named[name] not in known})
        return known[baseline, this]

    def _met(self, axis: str | None, baseline: Alike, this: Alike) -> set[tuple[Alike, Alike]]:
        """The cases in which both sides were measured, each in one way, repetition by repetition."""
        if axis is None:
            return set()
        same = [name for name in ALIKE_COLUMNS if name not in (axis, *COVERS.get(axis, ()))]
        at_once = _facts(this, ONE_TIME)
        met: dict[tuple[Any, ...], tuple[list[Alike], list[Alike]]] = {}
        for each in self.times:
            if _facts(each, ONE_TIME) == at_once:
                for side, whose in enumerate((baseline, this)):
                    if _fact(each, axis) == _fact(whose, axis):
                        met.setdefault(_facts(each, same), ([], []))[side].append(each)
        return {
            (bases[0], others[0]) for bases, others in met.values()
            if len(bases) == len(others) == 1 and self.times[bases[0]].keys() & self.times[others[0]].keys()
        }


PLACES = {name: place for place, name in enumerate(ALIKE_COLUMNS)}


def _fact(alike: Alike, name: str) -> Any:
    return alike[PLACES[name]]


def _facts(alike: Alike, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(alike[PLACES[name]] for name in names)


def _axis(baseline: Alike, this: Alike) -> str | None:
    """The most telling fact in which they differ."""
    return next((name for name in AXES if _fact(baseline, name) != _fact(this, name)), None)


def speed_ups(baseline_s: Times, this_s: Times) -> tuple[float, ...]:
    """Time of the baseline / time of this, for each repetition that one run measured of both, in order."""
    return tuple(baseline_s[pair] / this_s[pair] for pair in sorted(baseline_s.keys() & this_s.keys()))


def by_repetition(trials: pd.DataFrame) -> dict[Alike, dict[Repetition, float]]:
    """Step times by repetition of each group of alike timing trials (by ALIKE_COLUMNS), but for invalid ones."""
    measured = without_invalid(trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)])
    times: dict[Alike, dict[Repetition, float]] = {}
    for trial in rows_of(measured[[*ALIKE_COLUMNS, "run_id", "repetition", "timings_s"]]):
        (time_s,) = step_times([trial["timings_s"]], int(trial["steps_per_timing"]))
        times.setdefault(key(trial, ALIKE_COLUMNS), {})[repetition(trial)] = time_s
    return times


def repetition(trial: Mapping[str, Any]) -> Repetition:
    return str(trial["run_id"]), int(trial["repetition"])
