"""A figure over time, as read from a history and searched for changes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Grounds(StrEnum):
    """From what it is known whether more or less is better, or why it is not known."""

    KIND = "kind"                        # time or memory, of which less is better
    DECLARED = "declared"                # the benchmark declares it
    OPTION = "option"                    # an option of the command states it
    UNIT = "unit"
    NAME = "name"
    NONE = "none"                        # neither unit nor name tell it
    CONTRADICTION = "contradiction"      # between unit and name


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Whether more or less of a figure is better."""

    is_higher_better: bool | None        # None: not known; then no change is called better or worse
    grounds: Grounds


class Ended(StrEnum):
    """Why a series is no longer measured."""

    BENCHMARK = "benchmark"              # the benchmark was deleted
    PARAMETERS = "parameters"


LESS_BY_KIND = Direction(is_higher_better=False, grounds=Grounds.KIND)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The newest measurements of a series failed."""

    since: str                           # commit or run of the first that failed
    latest_s: float                      # date of the newest, in seconds since 1970
    reason: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure of one case on one machine in one environment, oldest first."""

    name: str                            # of the benchmark
    case: str                            # its parameters; empty if it has none
    unit: str                            # "seconds", "images/s"; empty if not known
    direction: Direction
    facts: Mapping[str, str]             # constant for all points: machine, versions, ...
    values: NDArray[np.float64]
    revisions: Sequence[str]             # commit or run of each point
    dates_s: NDArray[np.float64]         # of each point, in seconds since 1970
    environments: Sequence[str] = ()     # of each point; empty if all have the same
    invalid_trials: int = 0              # not used in any point, see bench.analysis.results.validity
    failure: Failure | None = None       # of what is newer than the last point, if that failed
    tried: Sequence[tuple[str, float]] = ()     # (revision, date) of each outcome, even failed; empty: as points
    ended: Ended | None = None           # None if it is still measured, as far as is known

    @property
    def label(self) -> str:
        return label(self.name, self.case)

    @property
    def outcomes(self) -> Sequence[tuple[str, float]]:
        """(revision, date in seconds since 1970) of each measurement, including failed ones, oldest first."""
        return self.tried or list(zip(self.revisions, map(float, self.dates_s), strict=True))


def label(name: str, case: str) -> str:
    """The label of a series: "bench.time_step(n=1)", or the name alone if there are no parameters."""
    return f"{name}({case})" if case else name


def failure(outcomes: Sequence[tuple[str, float, str | None]]) -> Failure | None:
    """The failure of the newest outcomes, given as (revision, date, reason or None), oldest first; None if the newest
    did not fail."""
    failed = [
        (revision, date_s, reason) for revision, date_s, reason in
        itertools.takewhile(lambda outcome: outcome[2] is not None, reversed(outcomes)) if reason is not None
    ]
    return Failure(since=failed[-1][0], latest_s=failed[0][1], reason=failed[0][2]) if failed else None
