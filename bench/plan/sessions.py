"""Sessions of one sweep at different times: their spread shows what changes from hour to hour."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def names(session: str, count: int) -> tuple[str, ...]:
    """The names of the sessions of a sweep, equal for each run of the same command."""
    return (session,) if count == 1 else tuple(f"{session}.{number}" for number in range(1, count + 1))


def unused(trials: pd.DataFrame) -> str:
    """The first whole number that names no stored session, not even as the first part of a name such as "1.2"."""
    taken = {str(session).partition(".")[0] for session in trials.session}
    return next(name for number in range(1, len(taken) + 2) if (name := str(number)) not in taken)


def wait_s(trials: pd.DataFrame, previous: str, apart_s: float, now: datetime | None = None) -> float:
    """Seconds until the session after ``previous`` begins, which is ``apart_s`` after the first trial of that one.

    0 if that time has passed, or if nothing of it is stored; at most ``apart_s``, even if the clock was set back.
    """
    of_previous = trials[trials.session == previous]
    if of_previous.empty:
        return 0.0
    begun = min(datetime.fromisoformat(at) for at in of_previous.recorded_at)
    passed_s = ((now or datetime.now(UTC)) - begun).total_seconds()
    return min(apart_s, max(0.0, apart_s - passed_s))
