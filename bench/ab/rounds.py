"""The loop of every contest: pairs in rounds, until each case has a verdict or the budget is spent.

In a round, every open unit gets one pair, in an order drawn from the name of the session. A unit is what is measured
at once: most have one case, but one run of a program may bring numbers of many. All cases are judged together.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from rigmark.bench.analysis.statistics.decision import LOOKS, Decision, decide_all
from rigmark.bench.enums import Clock

FAILURES_AT_MOST = 3         # failed pairs of a unit, after which no more are started


class Case(Protocol):
    """What gets a verdict."""

    is_decided: bool

    def log_speed_ups(self, clock: Clock) -> list[float] | None:
        """The value of each pair so far, above 0 where new is better; None if the clock is not valid for the case."""
        ...


class Unit(Protocol):
    """What is measured at once."""

    @property
    def cases(self) -> Sequence[Case]: ...

    @property
    def is_open(self) -> bool:
        """Whether more pairs are needed, and can be measured."""
        ...

    @property
    def seconds_per_pair(self) -> float:
        """Mean time of a pair so far; 0 before the first."""
        ...


U = TypeVar("U", bound=Unit)


class Rounds(Generic[U]):
    """The pairs of all units of a contest. ``left_s`` is the part of the budget that was not needed."""

    def __init__(
        self, units: Sequence[U], *, session: str, budget_s: float, clock: Clock = Clock.WALL, others: int = 0,
    ):
        """``others`` is how many more cases are judged with these, in other contests."""
        self._others = others
        self._units, self._session, self._budget_s, self._clock = units, session, budget_s, clock
        self.left_s = budget_s

    def run(
        self, measure: Callable[[U, bool], bool], until: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Has pairs measured until all is decided, or no other would end by ``until``.

        ``measure`` measures a pair of a unit; its second argument is whether there is time for one. It returns False
        where it measured none for lack of time.
        """
        self.left_s = self._budget_s         # once more, if the budget ended before all is decided
        for number in range(LOOKS[-1] + FAILURES_AT_MOST):
            decisions = iter(self.decisions(until - monotonic()))
            for unit in self._units:
                for case in unit.cases:
                    decision = next(decisions)
                    case.is_decided = decision is None or decision.is_final
            still = [unit for unit in self._units if unit.is_open]
            if not still:
                self.left_s = max(0.0, until - monotonic())
                return
            random.Random(f"{self._session}/{number}").shuffle(still)
            for unit in still:
                if not measure(unit, monotonic() + unit.seconds_per_pair <= until):
                    return

    def decisions(self, left_s: float, clock: Clock | None = None) -> list[Decision | None]:
        """The decisions on all cases, judged together, given ``left_s`` more seconds; None if the clock is not valid.
        """
        round_s = sum(unit.seconds_per_pair for unit in self._units if unit.is_open)
        rounds = int(max(left_s, 0.0) / round_s) if round_s else LOOKS[-1]
        every = [case.log_speed_ups(clock or self._clock) for unit in self._units for case in unit.cases]
        known = {str(index): values for index, values in enumerate(every) if values is not None}
        decided = decide_all(known, pairs_at_most={name: len(values) + rounds for name, values in known.items()},
                             others=self._others)
        return [decided.get(str(index)) for index in range(len(every))]

    def final(self) -> tuple[list[Decision | None], list[Decision | None]]:
        """The decisions on what was measured so far, and those by CPU time, where the verdicts are by wall time.

        An open case needs more pairs if the same budget again would decide it; otherwise it is too noisy, and so is a
        case that was given up although there was time left.
        """
        decided = self.decisions(self.left_s)
        if self._clock is not Clock.WALL:
            return decided, [None] * len(decided)
        return decided, self.decisions(self.left_s, Clock.CPU)
