"""Where the level of a case changed from session to session, where there are enough of them to tell."""

from __future__ import annotations

import pandas as pd

from bench.analysis import history
from bench.analysis.changepoints import FEWEST
from bench.analysis.document import Section

LAST = 200                   # points whose steps are news, as in rigmark history


def section(trials: pd.DataFrame) -> Section | None:
    """None where no case was measured in as many sessions as show a change."""
    if trials.session.nunique() < FEWEST:
        return None
    watched = history.watch(history.series_of(trials))
    return history.section(watched, last=LAST) if any(each.reason is None for each in watched) else None
