"""Finds series that are no longer measured: neither their steps nor their last failures are recent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.analysis.statistics.changepoints import FEWEST
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.history.series import Ended, Series

MISSED = FEWEST              # points that a series would have gained at its own pace: the fewest that show a change
SILENCE = 0.05               # share of the time that all series cover, since some machines measure only once per week

SAID = {
    Ended.BENCHMARK: tr_later("the benchmark was deleted"),
    Ended.PARAMETERS: tr_later("its parameters were deleted"),
}


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """The last measurement of a series, successful or not."""

    last_s: float                # date in seconds since 1970
    newest_s: float              # of all series
    ended: Ended | None          # what the source states; None if it follows from newer points of others
    has_failed: bool             # the last outcome was a failure

    @property
    def text(self) -> str:
        """"last measured on 2017-08-13, others until 2023-02-01"."""
        text = tr("last measured on {date}, others until {newest}", date=day(self.last_s), newest=day(self.newest_s))
        ended = "" if self.ended is None else tr(SAID[self.ended])
        failed = tr("its last run failed") if self.has_failed else ""
        return "; ".join(filter(None, [ended, text, failed]))


def retirements(series: Sequence[Series]) -> list[Retirement | None]:
    """The retirement of each series; None for a series that is still measured.

    A series is over where its source says so. Else its own pace tells: it would have gained MISSED points since its
    last one had it gone on with as large a part of all revisions, and it is silent for SILENCE of the whole time.
    """
    outcomes = [sorted({(date_s, revision) for revision, date_s in each.outcomes}) for each in series]
    dates = np.sort([date_s for date_s, _ in set().union(*outcomes)])
    return [_retirement(each, own, dates) for each, own in zip(series, outcomes, strict=True)]


def _retirement(series: Series, own: Sequence[tuple[float, str]], dates: NDArray[np.float64]) -> Retirement | None:
    if not own:
        return None
    first_s, last_s = own[0][0], own[-1][0]
    before, until = np.searchsorted(dates, first_s, "left"), np.searchsorted(dates, last_s, "right")
    missed = (len(dates) - until) * len(own) / (until - before)
    is_silent = dates[-1] - last_s > SILENCE * (dates[-1] - dates[0])
    if series.ended is None and not (missed >= MISSED and is_silent):
        return None
    return Retirement(
        last_s=last_s, newest_s=float(dates[-1]), ended=series.ended, has_failed=series.failure is not None
    )


def day(seconds: float) -> str:
    """"2026-11-30"; empty where there is no such day."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return ""
