"""The progress that a sweep reports while it runs, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol

from rigmark.bench.plan.schedule import Trial
from rigmark.bench.store.record import Record
from rigmark.bench.store.stored import StoredRecord


class Progress(Protocol):
    """Shows the progress of a sweep; called only between trials."""

    def before(self, trial: Trial, index: int, total: int) -> None: ...

    def after(self, trial: Trial, record: Record | None) -> None: ...


class Silent:
    """Shows nothing."""

    def before(self, trial: Trial, index: int, total: int) -> None:
        pass

    def after(self, trial: Trial, record: Record | None) -> None:
        pass


@dataclass
class Tally:
    """The result of a sweep."""

    stored: list[Record] = field(default_factory=list)           # records of this sweep
    already_there: list[StoredRecord] = field(default_factory=list)      # records that an earlier sweep stored
    damaged: list[str] = field(default_factory=list)             # one clause for each record that could not be read
    not_started: int = 0                                         # repetitions that would only have failed again
    beyond_budget: int = 0                                       # trials of repetitions for which there was no time
    stepping_time_s: float = 0.0                                 # of the wall time, warm-up and timed steps
    wall_time_s: float = 0.0

    @property
    def anew(self) -> tuple[str, ...]:
        """One sentence for each record that could not be read and was replaced."""
        return tuple(f"{what}; it was measured again" for what in self.damaged)

    def __add__(self, other: Tally) -> Tally:
        """The tally of both sweeps together."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})
