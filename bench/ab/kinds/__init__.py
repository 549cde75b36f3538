"""The kinds of contest beside that of our networks, one file per kind, found by its name.

A kind knows what the two sides are, how they are made ready, and how a side takes a turn. bench.ab.turns does the
rest: whose turn it is, warm-ups, failures, verdicts, the record. A file defines KIND, a class of Kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.worker import registry


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of one side."""

    numbers: Mapping[str, float]         # by case
    wall_time_s: float
    cpu_time_s: float | None             # None: not known, or not that of this case alone
    facts: Mapping[str, Any]             # stored beside the numbers


class Ending(StrEnum):
    """How a turn ended that gave no number; in the words of bench.enums.Outcome where a trial can end so too."""

    BUILD_BROKEN = "build_broken"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    NO_NUMBER = "no_number"              # it ran, but did not print the one finite number that was asked for
    OTHER_OUTPUT = "other_output"        # it ran, but did not print the same as the first turn of the base


class TurnFailed(Exception):
    """A turn gave no number; the message states why. ``outcome`` is an Ending, or one that a later Rigmark stored."""

    def __init__(self, outcome: str, reason: str, last_words: str = ""):
        super().__init__(reason)
        self.outcome, self.reason, self.last_words = outcome, reason, last_words


class TurnSkipped(Exception):
    """What takes turns says itself that it is not to be measured here; the message states why."""


class Kind(ABC):
    """One contest of a kind."""

    @abstractmethod
    def ready(self) -> AbstractContextManager[None]:
        """Both sides made ready for turns, until the end of the block. Raises TurnFailed with outcome build_broken if
        a side cannot be built, and UserError for bad input."""

    @abstractmethod
    def units(self) -> Sequence[str]:
        """What takes turns, once ready: names for people."""

    def pair(self, unit: str) -> AbstractContextManager[None]:
        """What lasts for the turns of one pair of a unit, such as processes."""
        return nullcontext()

    @abstractmethod
    def turn(self, unit: str, side: str) -> Turn:
        """One turn of a side; every turn of a unit gives the same cases. Raises TurnFailed, or TurnSkipped."""

    @abstractmethod
    def quantity(self, case: str) -> Quantity:
        """What is judged of a case."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """What was compared, for the record: "base" and "new", with their names, and the settings."""

    def only(self, side: str) -> Sequence[str]:
        """Cases that only this side has, as far as is known; none before it is ready."""
        return ()

    def doubts(self, case: str) -> tuple[str, ...]:
        """What weakens the verdict on a case, after all its turns."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """What is said beneath all verdicts."""
        return ()


NAMES = registry.names(__path__)


def module(name: str) -> Any:
    """The file of a kind."""
    return registry.load(__name__, name)


def load(name: str) -> type[Kind]:
    """The class of a kind."""
    kind: type[Kind] = module(name).KIND
    return kind
