"""A figure over time: what importers of histories make and what looks for changes in it reads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Grounds(StrEnum):
    """What tells which way is better, or why it is not known."""

    KIND = "kind"                        # time or memory: less
    DECLARED = "declared"                # the benchmark itself says so
    OPTION = "option"                    # the user of the command does
    UNIT = "unit"
    NAME = "name"
    NONE = "none"                        # neither unit nor name tells
    CONTRADICTION = "contradiction"      # of unit and name


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Which way a figure is better."""

    is_higher_better: bool | None        # None: not known, so that no change of it is for the worse or the better
    grounds: Grounds


class Ended(StrEnum):
    """Why the source of a series measures it no more."""

    BENCHMARK = "benchmark"              # was deleted
    PARAMETERS = "parameters"


LESS_BY_KIND = Direction(is_higher_better=False, grounds=Grounds.KIND)


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
    direction: Direction
    facts: Mapping[str, str]             # that hold for all points: machine, versions, ...
    values: NDArray[np.float64]
    revisions: Sequence[str]             # commit, or run, of each point
    dates_s: NDArray[np.float64]         # of each point, since 1970
    environments: Sequence[str] = ()     # of each point; empty where all have the same
    invalid_trials: int = 0              # left out of all points, see bench.analysis.results.validity
    failure: Failure | None = None       # of what is newer than the last point; None where that is the newest
    tried: Sequence[tuple[str, float]] = ()     # (revision, date) of each outcome, failed ones too; empty: the points
    ended: Ended | None = None           # None where the source does not say that it measures it no more

    @property
    def label(self) -> str:
        return label(self.name, self.case)

    @property
    def outcomes(self) -> Sequence[tuple[str, float]]:
        """(revision, date since 1970 in s) of each time that it was measured or failed to be, oldest first."""
        return self.tried or list(zip(self.revisions, map(float, self.dates_s), strict=True))


def label(name: str, case: str) -> str:
    """"bench.time_step(n=1)"; the name alone where there are no parameters."""
    return f"{name}({case})" if case else name


def failure(outcomes: Sequence[tuple[str, float, str | None]]) -> Failure | None:
    """From (revision, date, why it failed or None), oldest first; None where the newest did not fail."""
    failed = [
        (revision, date_s, reason) for revision, date_s, reason in
        itertools.takewhile(lambda outcome: outcome[2] is not None, reversed(outcomes)) if reason is not None
    ]
    return Failure(since=failed[-1][0], latest_s=failed[0][1], reason=failed[0][2]) if failed else None
