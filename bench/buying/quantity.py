"""A positive number that is not known exactly, and what follows from several of them: by drawing from each.

Spreads are log-normal on either side of the value, as those of times and prices are: a low and a high end need not lie
at equal ratios. Draws come from seeds of their own, so that the same question has the same answer, and a quantity that
enters two sides of a comparison is the same number on both.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.document.formatting import share

DRAWS = 10_000
NORMAL = {0.95: 1.959964, 0.8: 1.281552}     # half-width, in standard deviations, of the middle part of a normal
UNIT_SPREAD = 0.02           # relative, between two machines of one kind: of 39 with an H100, 0.1 to 4 % by network
CLEAR, LIKELY = 0.95, 0.80   # chances from which on one is called better

Draws = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """``low`` and ``high`` hold its middle ``level``; None for both: no spread is known, it is taken as it stands."""

    name: str                    # quantities of one name rise and fall together
    value: float                 # above 0, or 0 without a spread
    origin: Origin
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    note: str = ""               # how it came to be, in words

    def draws(self, count: int = DRAWS) -> Draws:
        if self.low is None or self.high is None or self.value == 0:
            return np.full(count, self.value)
        spread = NORMAL[self.level]
        # An end at 0 would be infinitely far away: a thousandth stands for it.
        below = math.log(self.value / max(self.low, self.value / 1000)) / spread
        above = math.log(self.high / self.value) / spread
        deviations = standard_normal(self.name, count)
        return self.value * np.exp(np.where(deviations < 0, below, above) * deviations)

    def __post_init__(self) -> None:
        # A prediction that cannot be off would win by a chance that nobody can know.
        if self.origin is Origin.PREDICTED and not (self.low or self.value) < (self.high or self.value):
            raise ValueError(f"{self.name}: is predicted, and has no width")

    def times(self, factor: float) -> Quantity:
        """In another unit: still the same quantity."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Quantity(**{**vars(self), "value": self.value * factor, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Sampled(Quantity):
    """That of one of several workloads, not known beforehand which: ``low`` and ``high`` hold the middle 80 % of them.

    Quantities of one ``family`` are of the same workload in each draw.
    """

    family: str
    members: tuple[float, ...]           # one for each workload
    error: Quantity | None = None        # a factor that all of them may be off by; None: not known to be

    def draws(self, count: int = DRAWS) -> Draws:
        places = np.random.default_rng(zlib.crc32(self.family.encode())).integers(len(self.members), size=count)
        found = np.asarray(self.members, float)[places]
        return found if self.error is None else found * self.error.draws(count)


def multiple(value: float | None, factor: float) -> float | None:
    """A plain number times a factor; what is not known stays so."""
    return None if value is None else value * factor


def standard_normal(name: str, count: int = DRAWS) -> Draws:
    """Always the same for a name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(count)


def of_another_unit(name: str, count: int = DRAWS) -> Draws:
    """Factors by which a machine that is bought may differ from that of its kind which was measured."""
    return np.exp(UNIT_SPREAD * standard_normal(f"unit of {name}", count))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What came of draws: the value at the middle of everything, and the middle 95 % of the draws."""

    value: float
    low: float
    high: float


def spread(value: float, draws: Draws) -> Spread:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Spread(value=value, low=float(low), high=float(high))


def chances_of_most(draws: list[Draws]) -> list[float]:
    """For each, the share of draws in which it is the largest; ties are shared."""
    table = np.stack(draws)
    is_most = table == table.max(axis=0)
    return [float(chance) for chance in (is_most / is_most.sum(axis=0)).mean(axis=1)]


def chance_in_words(chance: float) -> str:
    """In whole per cent, which is all that such spreads carry."""
    return ">99 %" if chance > 0.99 else "<1 %" if chance < 0.01 else share(chance)


def standing(chance: float, *, is_predicted: bool) -> Standing:
    """In words; what rests on a prediction is never clear."""
    if chance >= CLEAR:
        return Standing.LIKELY if is_predicted else Standing.CLEAR
    return Standing.LIKELY if chance >= LIKELY else Standing.OPEN
