"""A figure over time: what importers of histories make and what looks for changes in it reads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Failure:
    """That the newest points of a series are none, since what they measure failed."""

    since: str                           # commit, or run, of the first of them
    latest_s: float                      # date of the newest, since 1970
    reason: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure of one case on one machine in one environment, oldest first."""

    name: str                            # of the benchmark
    case: str                            # its parameters; empty where it has none
    unit: str                            # "seconds", "images/s"; empty where it is not known
    is_higher_better: bool
    facts: Mapping[str, str]             # that hold for all points: machine, versions, ...
    values: NDArray[np.float64]
    revisions: Sequence[str]             # commit, or run, of each point
    dates_s: NDArray[np.float64]         # of each point, since 1970
    environments: Sequence[str] = ()     # of each point; empty where all have the same
    invalid_trials: int = 0              # left out of all points, see bench.analysis.validity
    failure: Failure | None = None       # of what is newer than the last point; None where that is the newest

    @property
    def label(self) -> str:
        return f"{self.name}({self.case})" if self.case else self.name


def failure(outcomes: Sequence[tuple[str, float, str | None]]) -> Failure | None:
    """From (revision, date, why it failed or None), oldest first; None where the newest did not fail."""
    failed = [
        (revision, date_s, reason) for revision, date_s, reason in
        itertools.takewhile(lambda outcome: outcome[2] is not None, reversed(outcomes)) if reason is not None
    ]
    return Failure(since=failed[-1][0], latest_s=failed[0][1], reason=failed[0][2]) if failed else None
