"""What a sweep reports while it runs, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol

from rigmark.bench.plan.schedule import Trial
from rigmark.bench.store.record import Record
from rigmark.bench.store.stored import StoredRecord


class Progress(Protocol):
    """Whatever shows how far a sweep is; called between trials only."""

    def before(self, trial: Trial, index: int, total: int) -> None: ...

    def after(self, trial: Trial, record: Record | None) -> None: ...


class Silent:
    """Nobody."""

    def before(self, trial: Trial, index: int, total: int) -> None:
        pass

    def after(self, trial: Trial, record: Record | None) -> None:
        pass


@dataclass
class Tally:
    """What a sweep came to."""

    stored: list[Record] = field(default_factory=list)           # by this sweep
    already_there: list[StoredRecord] = field(default_factory=list)      # of trials that an earlier one stored
    damaged: list[str] = field(default_factory=list)             # a clause on each record that could not be read
    not_started: int = 0                                         # repetitions that would only fail again
    stepping_time_s: float = 0.0                                 # of this sweep's wall time, warm-up and timed steps
    wall_time_s: float = 0.0

    @property
    def anew(self) -> tuple[str, ...]:
        """A sentence on each record that could not be read, and so was replaced."""
        return tuple(f"{what}; it was measured again" for what in self.damaged)

    def __add__(self, other: Tally) -> Tally:
        """Of both together."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})
