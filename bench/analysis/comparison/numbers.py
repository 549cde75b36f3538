"""From turns that each gave a number to verdicts: times, memory, or whatever a command prints.

A pair has one number of each side, or several in turns. Numbers above 0 are judged by their ratio, as step times are.
Where one is 0 or negative, or all are whole, they have no useful ratio: then their difference is judged by the same
rule, with thresholds that are shares of the base's typical size, or of a margin that the user states in the unit of the
number. Which of both applies does not depend on which side is which, so a verdict keeps its error rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Judged, Method
from rigmark.bench.analysis.statistics.decision import DELTA, Decision
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate, median, walsh_averages

LARGEST = 100.0              # size of the largest difference relative to the scale, so that its exponential is finite


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What is judged."""

    name: str                            # "wall time", "peak memory", or how it is found in what a command prints
    unit: str                            # "s", "B", or "": that of the printed number
    is_higher_better: bool = False
    margin: float | None = None          # a difference below this is of no interest; None: a share of the base's size

    @property
    def is_time(self) -> bool:
        return self.unit == "s"


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of one pair: those of its turns, in the order in which they were measured."""

    base: tuple[float, ...]
    new: tuple[float, ...]


def is_by_difference(quantity: Quantity, pairs: Sequence[Numbers]) -> bool:
    every = [number for pair in pairs for number in (*pair.base, *pair.new)]
    counts = not quantity.unit and all(number.is_integer() for number in every)
    return quantity.margin is not None or counts or not all(number > 0 for number in every)


def log_speed_ups(quantity: Quantity, pairs: Sequence[Numbers]) -> list[float]:
    """The value of each pair for bench.analysis.statistics.decision: above 0 where new is better.

    It is the median over its turns of ln(base / new), or of the difference in units of ``scale``.
    """
    sign = -1.0 if quantity.is_higher_better else 1.0
    if not is_by_difference(quantity, pairs):
        return [sign * median([math.log(b / n) for b, n in zip(pair.base, pair.new, strict=True)]) for pair in pairs]
    size = scale(quantity, pairs)
    return [sign * difference / size if size else 0.0 for difference in _differences(pairs)]


def scale(quantity: Quantity, pairs: Sequence[Numbers]) -> float:
    """The size of which 1 % is the least difference that is called one; 0 if no pair differs and the base is 0."""
    largest = max((abs(difference) for difference in _differences(pairs)), default=0.0)
    usual = quantity.margin / math.log1p(DELTA) if quantity.margin is not None else median(
        [abs(median(pair.base)) for pair in pairs] or [0.0]
    )
    return max(usual, largest / LARGEST)


def _differences(pairs: Sequence[Numbers]) -> list[float]:
    return [median([b - n for b, n in zip(pair.base, pair.new, strict=True)]) for pair in pairs]


def case_verdict(
    label: str, quantity: Quantity, pairs: Sequence[Numbers], decision: Decision, **more: object
) -> CaseVerdict:
    """The verdict on one case; ``more`` are further fields of CaseVerdict."""
    judged = pairs[:decision.pairs] or pairs
    size = scale(quantity, judged) if is_by_difference(quantity, pairs) else None
    return CaseVerdict(
        label=label, verdict=decision.verdict, decision=decision, method=Method.TURNS, judged=Judged(
            name=quantity.name, unit=quantity.unit, is_higher_better=quantity.is_higher_better, scale=size,
            base=_level([median(pair.base) for pair in judged]), new=_level([median(pair.new) for pair in judged]),
        ), **more,       # type: ignore[arg-type]
    )


def _level(numbers: Sequence[float]) -> Estimate:
    """The centre of one side; its interval where all are above 0."""
    if all(number > 0 for number in numbers):
        return estimate(numbers)
    return Estimate(value=median(walsh_averages(numbers)), low=None, high=None, count=len(numbers))
