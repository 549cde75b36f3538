"""A contest of one of bench.ab.kinds: sides take turns, in an order that a coin decides, until there is a verdict.

A turn that gives no number makes its pair a failed one, which is stored, and never a number. Turns of some ms are many
per pair, whose value is then their median: so a pair of short turns is not noisier than one of long turns.
"""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from rigmark.bench.ab.kinds import Ending, Kind, Turn, TurnFailed, TurnSkipped
from rigmark.bench.ab.rounds import FAILURES_AT_MOST, Rounds
from rigmark.bench.analysis.causes.command import Seen, Sides, of_contestants, with_cause
from rigmark.bench.analysis.comparison import numbers
from rigmark.bench.analysis.comparison.numbers import Numbers, Quantity
from rigmark.bench.analysis.comparison.pairs import CONTENDED, OPEN
from rigmark.bench.analysis.comparison.verdicts import SAID, CaseVerdict, Verdicts, change
from rigmark.bench.analysis.statistics.decision import Decision, Verdict
from rigmark.bench.enums import Clock
from rigmark.bench.host import secrets
from rigmark.bench.store.contests import Contest
from rigmark.bench.store.record import BASE, NEW, SIDES

PAIR_TIME_S = 0.3            # least seconds of a pair: several short turns
TURNS_AT_MOST = 30           # of each side in a pair
UNREACHED = "the budget ended before its first pair; a longer --budget reaches it"


@dataclass
class Case:
    """One number of a unit, on both sides."""

    label: str
    quantity: Quantity
    is_decided: bool = False
    pairs: list[Numbers] = field(default_factory=list)
    cpu_pairs: list[Numbers] | None = field(default_factory=list)    # None: CPU time is not known, or not of this case
    seen: list[Seen] = field(default_factory=list)

    def log_speed_ups(self, clock: Clock) -> list[float] | None:
        """By CPU time only where wall time is judged: it is the check of that, not a number of its own."""
        if clock is Clock.WALL:
            return numbers.log_speed_ups(self.quantity, self.pairs)
        return numbers.log_speed_ups(self.quantity, self.cpu_pairs) if self.cpu_pairs else None

    def add(self, turns: dict[str, list[Turn]]) -> None:
        self.pairs.append(Numbers(**{side: tuple(t.numbers[self.label] for t in turns[side]) for side in SIDES}))
        self.seen.append(Seen(
            memory_bytes=_means(turns, "largest_process_bytes"), switches=_means(turns, "switches"),
        ))
        times = {side: [turn.cpu_time_s for turn in turns[side]] for side in SIDES}
        known = {side: tuple(t for t in times[side] if t is not None and t > 0) for side in SIDES}
        if self.cpu_pairs is not None and self.quantity.is_time and all(
            len(known[side]) == len(times[side]) for side in SIDES
        ):
            self.cpu_pairs.append(Numbers(**known))
        else:
            self.cpu_pairs = None


@dataclass
class Failure:
    side: str
    error: TurnFailed


@dataclass
class Unit:
    """What takes turns, so far."""

    name: str
    cases: list[Case] = field(default_factory=list)      # known after the first turn
    failures: list[Failure] = field(default_factory=list)
    turns_per_pair: int = 0                              # 0: not warmed up
    seconds: list[float] = field(default_factory=list)
    is_skipped: bool = False
    sides: Sides | None = None                           # None: causes are not asked for

    @property
    def is_open(self) -> bool:
        if self.is_given_up or self.is_skipped:
            return False
        return not self.cases or any(not case.is_decided for case in self.cases)

    @property
    def is_given_up(self) -> bool:
        fails_again = self.turns_per_pair == 0 or any(
            each.error.outcome != Ending.CRASHED for each in self.failures
        )
        return bool(self.failures) and (fails_again or len(self.failures) >= FAILURES_AT_MOST)

    @property
    def seconds_per_pair(self) -> float:
        return sum(self.seconds) / len(self.seconds) if self.seconds else 0.0


class Turns:
    """Measures and judges one contest of a kind."""

    def __init__(
        self, kind: Kind, *, names: tuple[str, str], seed: str, budget_s: float, warm_ups: int,
        store: Callable[[dict[str, Any]], None], has_causes: bool = True,
    ):
        """``has_causes``: whether causes are told. ``store`` is called with the record as plain data after every pair,
        and before the first. ``seed`` decides all orders.
        """
        self._kind, self._names, self._seed, self._budget_s = kind, names, seed, budget_s
        self._warm_ups, self._store, self._has_causes = warm_ups, store, has_causes
        self._units: list[Unit] = []
        self._pairs: list[dict[str, Any]] = []
        self._coin = random.Random(seed)
        self._only: dict[str, set[str]] = {side: set() for side in SIDES}     # cases that one side lacks

    def run(
        self, before: Callable[[str], None] = lambda label: None, monotonic: Callable[[], float] = time.monotonic
    ) -> Verdicts:
        """Makes both sides ready, lets them take turns, and judges; ``before`` is told of each pair."""
        try:
            with self._kind.ready():
                self._units = [Unit(name=name) for name in self._kind.units()]
                self._rounds = Rounds(self._units, session=self._seed, budget_s=self._budget_s)
                self._rounds.decisions(self._budget_s)       # imports what judging needs before the budget starts
                self._keep()

                def pair(unit: Unit, is_in_time: bool) -> bool:
                    if is_in_time:
                        before(unit.name)
                        self._pair(unit)
                        self._keep()
                    return is_in_time

                self._rounds.run(pair, monotonic() + self._budget_s, monotonic)
                plain = self._kind.plain()
                if self._has_causes and all(side in plain for side in SIDES):
                    for unit in self._units:
                        unit.sides = of_contestants(plain[BASE], plain[NEW])
        except TurnFailed as error:
            return self._verdicts([CaseVerdict(
                label=str(self._kind.plain()["label"]), facts={}, verdict=None, has_failed=True,
                reason=f"{error.outcome}: {_with_last_words(error)}",
            )])
        return self._verdicts(_judged(self._units, self._rounds, self._kind.doubts))

    def _verdicts(self, cases: list[CaseVerdict]) -> Verdicts:
        base, new = map(secrets.hidden, self._names)
        only = {side: tuple(sorted({*self._only[side], *self._kind.only(side)})) for side in SIDES}
        return Verdicts(
            base=base, new=new, cases=tuple(cases), notes=self._kind.notes(), of_steps=False,
            only_base=only[BASE], only_new=only[NEW],
        )

    def _pair(self, unit: Unit) -> None:
        """One pair of a unit; before its first, both sides warm up."""
        started = time.monotonic()
        turns: dict[str, list[Turn]] = {side: [] for side in SIDES}
        first: list[str] = []
        side = BASE
        try:
            with self._kind.pair(unit.name):
                if unit.turns_per_pair == 0:
                    for side in [side for _ in range(self._warm_ups) for side in self._coin.sample(SIDES, 2)]:
                        turns[side].append(self._kind.turn(unit.name, side))
                    unit.turns_per_pair = turns_per_pair([turn.wall_time_s for side in SIDES for turn in turns[side]])
                    self._pairs.append(_stored(unit.name, [], turns, is_warm_up=True))
                    turns = {side: [] for side in SIDES}
                while len(first) < unit.turns_per_pair:
                    order = self._coin.sample(SIDES, 2)
                    for side in order:
                        turns[side].append(self._kind.turn(unit.name, side))
                    first.append(order[0])
                _find_cases(unit, turns, self._kind.quantity, self._only)
                for side in SIDES:
                    _check_cases(unit, turns[side])
        except TurnSkipped:
            unit.is_skipped = True
            return
        except TurnFailed as error:
            unit.failures.append(Failure(side=side, error=error))
            self._pairs.append({**_stored(unit.name, first, turns), "failure": {
                "side": side, "outcome": error.outcome, "reason": error.reason, "last_words": error.last_words,
            }})
            return
        finally:
            unit.seconds.append(time.monotonic() - started)
        self._pairs.append(_stored(unit.name, first, turns))
        for case in unit.cases:
            case.add(turns)

    def _keep(self) -> None:
        self._store({
            **self._kind.plain(), "seed": self._seed, "budget_s": self._budget_s, "warm_ups": self._warm_ups,
            "pairs": self._pairs,
        })


def stored_verdicts(
    contests: Sequence[Contest], *, names: tuple[str, str], problems: Sequence[str] = ()
) -> Verdicts:
    """The verdicts on stored contests, all judged together, by the rule by which they were judged when measured."""
    units: list[Unit] = []
    only: dict[str, set[str]] = {side: set() for side in SIDES}
    for contest in contests:
        quantities = defaultdict(partial(Quantity, **msgspec.structs.asdict(contest.quantity)), {
            case: Quantity(**msgspec.structs.asdict(each)) for case, each in contest.quantities.items()
        })
        only[BASE] |= {*contest.only.get("base", [])}
        only[NEW] |= {*contest.only.get("new", [])}
        of_contest: dict[str, Unit] = {}
        for pair in contest.pairs:
            unit = of_contest.setdefault(pair.unit, Unit(name=pair.unit, sides=of_contestants(
                *(msgspec.structs.asdict(side) for side in (contest.base, contest.new))
            )))
            turns = {side: [Turn(
                numbers=turn.numbers, wall_time_s=turn.wall_time_s, cpu_time_s=turn.cpu_time_s,
                facts={"left_behind": turn.left_behind, "largest_process_bytes": turn.largest_process_bytes,
                       "switches": turn.switches},
            ) for turn in of_side] for side, of_side in ((BASE, pair.base), (NEW, pair.new))}
            if pair.failure is not None:
                unit.failures.append(Failure(side=pair.failure.side, error=TurnFailed(
                    pair.failure.outcome, pair.failure.reason, pair.failure.last_words
                )))
            elif not pair.is_warm_up:
                _find_cases(unit, turns, quantities.__getitem__, only)
                for case in unit.cases:
                    case.add(turns)
        units += of_contest.values()
    budget_s = max((contest.budget_s for contest in contests), default=0.0)
    cases = _judged(units, Rounds(units, session="", budget_s=budget_s), lambda case: ())
    base, new = map(secrets.hidden, names)
    return Verdicts(
        base=base, new=new, cases=tuple(cases), problems=tuple(problems), of_steps=False,
        only_base=tuple(sorted(only[BASE])), only_new=tuple(sorted(only[NEW])),
    )


def _judged(
    units: Sequence[Unit], rounds: Rounds[Unit], doubts: Callable[[str], tuple[str, ...]]
) -> list[CaseVerdict]:
    every = [(unit, case) for unit in units for case in unit.cases]
    return [
        *(
            _case_verdict(unit, case, decision, twin, doubts(case.label))
            for (unit, case), decision, twin in zip(every, *rounds.final(), strict=True)
        ),
        *(
            CaseVerdict(label=unit.name, facts={}, verdict=None, has_failed=True, reason=_reason(unit.failures[0]))
            for unit in units if not unit.cases and unit.failures
        ),
        *(
            CaseVerdict(label=unit.name, facts={}, verdict=Verdict.INCONCLUSIVE, reason=UNREACHED)
            for unit in units if not (unit.cases or unit.failures or unit.is_skipped)
        ),
    ]


def _case_verdict(
    unit: Unit, case: Case, decision: Decision | None, twin: Decision | None, doubts_of_kind: Sequence[str]
) -> CaseVerdict:
    if decision is None or not case.pairs:
        return CaseVerdict(
            label=case.label, facts={}, verdict=None, has_failed=True, reason=_reason(unit.failures[0]),
        )
    doubts = [*doubts_of_kind]
    if unit.failures:
        failure = _reason(unit.failures[0])
        doubts.append(f"{len(unit.failures)} of {len(unit.failures) + len(case.pairs)} pairs failed, {failure}")
    if twin is not None and twin.speed_up is not None and twin.verdict not in (*OPEN, decision.verdict):
        doubts.append(f"by CPU time it is {SAID[twin.verdict]}: {change(twin.speed_up)}")
    ratio = _contention(case)
    if ratio is not None and ratio > CONTENDED and decision.verdict in OPEN:
        doubts.append(f"wall time is {ratio:.2f} times CPU time: it waited, or other processes took a share of its "
                      "cores; --clock cpu is disturbed less")
    verdict = numbers.case_verdict(
        case.label, case.quantity, case.pairs, decision, facts={}, has_failed=bool(unit.failures),
        doubts=tuple(doubts), seconds_per_pair=unit.seconds_per_pair,
    )
    return verdict if unit.sides is None else with_cause(verdict, case.pairs, case.cpu_pairs, case.seen, unit.sides)


def _means(turns: Mapping[str, Sequence[Turn]], fact: str) -> tuple[float, float] | None:
    """The mean of a fact over the turns of each side; None where a turn does not state it."""
    values = [[turn.facts.get(fact) for turn in turns[side]] for side in SIDES]
    if any(value is None for of_side in values for value in of_side):
        return None
    base, new = (sum(map(float, filter(None, of_side))) / len(of_side) for of_side in values)
    return base, new


def turns_per_pair(wall_times_s: list[float]) -> int:
    """How many turns each side has in a pair, for both alike."""
    shortest_s = min(wall_times_s, default=PAIR_TIME_S)
    return max(1, min(TURNS_AT_MOST, math.ceil(PAIR_TIME_S / (2 * max(shortest_s, 1e-6)))))


def _find_cases(
    unit: Unit, turns: dict[str, list[Turn]], quantity: Callable[[str], Quantity], only: dict[str, set[str]]
) -> None:
    """The cases of a unit are those that both sides have in its first pair; ``only`` gets those that one side has."""
    if unit.cases:
        return
    labels = {side: dict.fromkeys(turns[side][0].numbers) for side in SIDES}
    for side, other in (SIDES, SIDES[::-1]):
        only[side] |= labels[side].keys() - labels[other].keys()
    unit.cases = [Case(label=label, quantity=quantity(label)) for label in labels[BASE] if label in labels[NEW]]


def _check_cases(unit: Unit, turns: Sequence[Turn]) -> None:
    """Raises TurnFailed unless every turn has the number of every case, and there is a case."""
    if not unit.cases:
        raise TurnFailed(Ending.NO_NUMBER, "it gives no number that the other side gives too")
    for turn in turns:
        for case in unit.cases:
            if case.label not in turn.numbers:
                raise TurnFailed(Ending.NO_NUMBER, f"a turn did not give the number of {case.label}, as others did")


def _contention(case: Case) -> float | None:
    if not case.cpu_pairs:
        return None
    wall, cpu = (
        sum(sum(pair.base) + sum(pair.new) for pair in pairs) for pairs in (case.pairs, case.cpu_pairs)
    )
    return wall / cpu


def _stored(
    unit: str, first: list[str], turns: dict[str, list[Turn]], *, is_warm_up: bool = False
) -> dict[str, Any]:
    return {
        "unit": unit, "is_warm_up": is_warm_up, "first": list(first), **{
            side: [{
                "numbers": dict(turn.numbers), "wall_time_s": turn.wall_time_s, "cpu_time_s": turn.cpu_time_s,
                **turn.facts,
            } for turn in turns[side]] for side in SIDES
        },
    }


def _reason(failure: Failure) -> str:
    return f"{failure.error.outcome}: {failure.side}: {_with_last_words(failure.error)}"


def _with_last_words(error: TurnFailed) -> str:
    last = (error.last_words.strip().splitlines() or [""])[-1][:300]
    return f"{error.reason}; last words: {last}" if last else error.reason
