"""Doubts as values: what was seen, the evidence, what to do. Each is attached to the result that it weakens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from bench.analysis.statistics import FEWEST_FOR_INTERVAL, Estimate

OTHER_CORES = 0.1            # kept busy by other processes, above which they are in the way
CONTENDED_SHARE = 0.2        # of the trials
DRIFT_RATIO = 1.05           # between the medians of the two halves of a trial's timings
DRIFTING_SHARE = 0.2         # of the trials
WIDE_RATIO = 1.10            # upper / lower end of the interval


class FindingKind(StrEnum):
    NOTE = "note"            # limits what may be said
    WARNING = "warning"      # makes the result suspect


@dataclass(frozen=True, kw_only=True)
class Finding:
    id: str
    kind: FindingKind
    text: str                # what, evidence, advice in one sentence


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the findings of one case are drawn from."""

    measured: pd.DataFrame   # its trials that are ok
    failed: pd.DataFrame     # its other trials
    step_time_s: Estimate
    threads: int


def failed_trials(evidence: Evidence) -> Iterator[Finding]:
    if len(evidence.failed):
        first = evidence.failed.iloc[0]
        yield Finding(
            id="failed_trials", kind=FindingKind.WARNING,
            text=f"{len(evidence.failed)} of {len(evidence.failed) + len(evidence.measured)} trials failed "
                 f"({first.outcome}: {first.reason}); the figure is of the others",
        )


def few_trials(evidence: Evidence) -> Iterator[Finding]:
    count = evidence.step_time_s.count
    if count < FEWEST_FOR_INTERVAL:
        yield Finding(
            id="few_trials", kind=FindingKind.NOTE,
            text=f"{count} trials allow no interval; repeat at least {FEWEST_FOR_INTERVAL} times (--repetitions)",
        )


def contended(evidence: Evidence) -> Iterator[Finding]:
    """Other work on this machine while the steps were timed."""
    wall_times_s = [math.fsum(times_s) for times_s in evidence.measured.host_times_s]
    cores = np.asarray(evidence.measured.other_cpu_time_s, float) / wall_times_s
    busy = cores[cores > OTHER_CORES]        # NaN, not known, is not above
    share = len(busy) / len(cores)
    if share > CONTENDED_SHARE:
        yield Finding(
            id="contended", kind=FindingKind.WARNING,
            text=f"other processes kept {np.median(busy):.1f} cores busy while steps were timed in {share:.0%} of the "
                 "trials; stop them and repeat",
        )


def drifting(evidence: Evidence) -> Iterator[Finding]:
    ratios = np.array([_halves(timings) for timings in evidence.measured.timings_s])
    share = float(np.mean((ratios > DRIFT_RATIO) | (ratios < 1 / DRIFT_RATIO))) if len(ratios) else 0.0
    if share > DRIFTING_SHARE:
        yield Finding(
            id="drifting", kind=FindingKind.WARNING,
            text=f"step times moved by more than {DRIFT_RATIO - 1:.0%} within {share:.0%} of the trials; give them a "
                 "longer warm-up or a quieter machine",
        )


def _halves(timings_s: Sequence[float]) -> float:
    middle = len(timings_s) // 2
    return float(np.median(timings_s[middle:]) / np.median(timings_s[:middle])) if middle else 1.0


def wide_interval(evidence: Evidence) -> Iterator[Finding]:
    low, high = evidence.step_time_s.low, evidence.step_time_s.high
    if low is not None and high is not None and high / low > WIDE_RATIO:
        yield Finding(
            id="wide_interval", kind=FindingKind.NOTE,
            text=f"the interval spans {high / low - 1:.0%}; more repetitions or a quieter machine would narrow it",
        )


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    failed_trials, few_trials, contended, drifting, wide_interval
)


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Every doubt about one case."""
    return tuple(finding for rule in RULES for finding in rule(evidence))
