"""Positive numbers with uncertainty, and what follows from several of them, by random draws.

Spreads are log-normal on each side of the value, like those of times and prices; both sides may differ. Draws are
seeded by the name of the quantity, so that the same question has the same answer, and a quantity on both sides of a
comparison is the same number in each draw.
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
NORMAL = {0.95: 1.959964, 0.8: 1.281552}     # half-width of the middle share of a normal distribution, in sigmas
UNIT_SPREAD = 0.02           # relative, between machines of one kind: 0.1 to 4 % by network among 39 with an H100
CLEAR, LIKELY = 0.95, 0.80   # probabilities from which on one is called better

Draws = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number whose middle share ``level`` lies from ``low`` to ``high``; both are None if its spread is not known."""

    name: str                    # quantities of the same name have the same draws
    value: float                 # above 0, or 0 without spread
    origin: Origin
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    note: str = ""               # its origin in words

    def draws(self, count: int = DRAWS) -> Draws:
        if self.low is None or self.high is None or self.value == 0:
            return np.full(count, self.value)
        spread = NORMAL[self.level]
        # On a logarithmic scale 0 is infinitely far away; a thousandth of the value replaces it.
        below = math.log(self.value / max(self.low, self.value / 1000)) / spread
        above = math.log(self.high / self.value) / spread
        deviations = standard_normal(self.name, count)
        return self.value * np.exp(np.where(deviations < 0, below, above) * deviations)

    def __post_init__(self) -> None:
        # A prediction without uncertainty would give false probabilities.
        if self.origin is Origin.PREDICTED and not (self.low or self.value) < (self.high or self.value):
            raise ValueError(f"{self.name}: is predicted, and has no width")

    def times(self, factor: float) -> Quantity:
        """The same quantity in another unit."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Quantity(**{**vars(self), "value": self.value * factor, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Sampled(Quantity):
    """The value for a random one of several workloads; the middle 80 % of them lie from ``low`` to ``high``.

    Quantities of one ``family`` use the same workload in each draw.
    """

    family: str
    members: tuple[float, ...]           # one value per workload
    error: Quantity | None = None        # common factor of error of all members; None: none

    def draws(self, count: int = DRAWS) -> Draws:
        places = np.random.default_rng(zlib.crc32(self.family.encode())).integers(len(self.members), size=count)
        drawn = np.asarray(self.members, float)[places]
        return drawn if self.error is None else drawn * self.error.draws(count)


def multiple(value: float | None, factor: float) -> float | None:
    """A number times a factor; None stays None."""
    return None if value is None else value * factor


def standard_normal(name: str, count: int = DRAWS) -> Draws:
    """Draws of a standard normal distribution, always the same for a name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(count)


def of_another_unit(name: str, count: int = DRAWS) -> Draws:
    """Factors by which a bought machine may differ from the measured one of its kind."""
    return np.exp(UNIT_SPREAD * standard_normal(f"unit of {name}", count))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The result of draws: the value from all central values, and the middle 95 % of the draws."""

    value: float
    low: float
    high: float


def spread(value: float, draws: Draws) -> Spread:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Spread(value=value, low=float(low), high=float(high))


def chances_of_most(draws: list[Draws]) -> list[float]:
    """For each array, the share of draws in which it is the largest; ties are divided."""
    table = np.stack(draws)
    is_most = table == table.max(axis=0)
    return [float(chance) for chance in (is_most / is_most.sum(axis=0)).mean(axis=1)]


def chance_in_words(chance: float) -> str:
    """A probability in whole per cent, since such spreads justify no more digits."""
    return ">99 %" if chance > 0.99 else "<1 %" if chance < 0.01 else share(chance)


def standing(chance: float, *, is_predicted: bool) -> Standing:
    """The certainty in words; an answer that depends on a prediction is never clear."""
    if chance >= CLEAR:
        return Standing.LIKELY if is_predicted else Standing.CLEAR
    return Standing.LIKELY if chance >= LIKELY else Standing.OPEN
