"""Where the level of a case changed from session to session, where there are enough of them to tell."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rigmark.bench.analysis import history
from rigmark.bench.analysis.history import Watched
from rigmark.bench.analysis.statistics.changepoints import FEWEST
from rigmark.bench.document.document import Paragraph, Section
from rigmark.bench.document.language import tr

LAST = 200                   # points whose steps are news, as in rigmark history


def watched(trials: pd.DataFrame) -> list[Watched]:
    """Every case over its sessions; empty where none was measured in as many as show a change."""
    if trials.session.nunique() < FEWEST:
        return []
    found = history.watch(history.series_of(trials))
    return found if any(each.reason is None for each in found) else []


def news(found: Sequence[Watched]) -> tuple[Paragraph, ...]:
    """A line for the verdict where the level of any case changed and still is another."""
    if not any(each.worse(LAST) or each.better(LAST) for each in found):
        return ()
    return (Paragraph(text=tr("Over the sessions, {changes}; see the history.", changes=history.summary(found, LAST))),)


def section(found: Sequence[Watched]) -> Section | None:
    """None where there is nothing to watch."""
    return history.section(found, last=LAST) if found else None
