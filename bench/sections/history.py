"""Changes of the level of cases between sessions, if there are enough sessions."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rigmark.bench.analysis import history
from rigmark.bench.analysis.history import Watched
from rigmark.bench.analysis.statistics.changepoints import FEWEST
from rigmark.bench.document.document import Paragraph, Section
from rigmark.bench.document.language import tr

LAST = 200                   # points in which changes are news, as in rigmark history


def watched(trials: pd.DataFrame) -> list[Watched]:
    """All cases over their sessions; empty if none has enough sessions to show a change."""
    if trials.session.nunique() < FEWEST:
        return []
    series = history.watch(history.series_of(trials))
    return series if any(each.reason is None for each in series) else []


def news(series: Sequence[Watched]) -> tuple[Paragraph, ...]:
    """A line for the verdict if the level of a case has changed permanently."""
    if not any(each.worse(LAST) or each.better(LAST) for each in series):
        return ()
    changes = history.summary(series, LAST)
    return (Paragraph(text=tr("Over the sessions, {changes}; see the history.", changes=changes)),)


def section(series: Sequence[Watched]) -> Section | None:
    """None without such cases."""
    return history.section(series, last=LAST) if series else None
