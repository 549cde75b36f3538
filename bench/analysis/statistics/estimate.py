"""The one estimator: Hodges-Lehmann of the logarithms of process medians, with the exact signed-rank interval.

A process, not a step, is the unit of replication. Hodges and Lehmann 1963; Hollander, Wolfe and Chicken,
"Nonparametric Statistical Methods", 3rd edition, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

FEWEST_FOR_INTERVAL = 6      # below, no 95 % interval exists: 2 / 2**5 = 6.25 %
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A positive quantity over processes: its centre, and a 95 % interval that is None below six of them."""

    value: float
    low: float | None
    high: float | None
    count: int

    def inverse(self, numerator: float) -> Estimate:
        """numerator / this, as throughput is to step time."""
        low = None if self.high is None else numerator / self.high
        high = None if self.low is None else numerator / self.low
        return Estimate(value=numerator / self.value, low=low, high=high, count=self.count)


def median(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The middle of at least one number that all can be ordered; as numpy.median, in a fifth of its time."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def walsh_averages(values: Sequence[float]) -> NDArray[np.float64]:
    """Sorted means of all pairs of values, each with itself too."""
    array = np.asarray(values, np.float64)
    rows, columns = _pairs(len(array))
    return np.sort((array[rows] + array[columns]) / 2)


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of all pairs among so many, each with itself too."""
    return np.triu_indices(count)


@cache
def signed_rank_distribution(count: int) -> NDArray[np.float64]:
    """P(W <= w) for w = 0, 1, ..., W the signed-rank statistic of ``count`` values that are symmetric around 0."""
    # Each rank counts or does not, by the toss of a coin.
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        chances[rank:] = (chances[rank:] + chances[:-rank]) / 2
        chances[:rank] /= 2
    return np.cumsum(chances)


@cache
def signed_rank_quantile(count: int, tail: float) -> int | None:
    """Largest k with P(W < k) <= tail, W the signed-rank statistic of ``count`` symmetric values; None if none."""
    return int(np.searchsorted(signed_rank_distribution(count), tail, side="right")) or None


def signed_rank_p(values: Sequence[float]) -> float:
    """Chance of signs at least as one-sided as these, on either side, where each is the toss of a coin.

    Exact without ties; with ties of unlike signs or with zeros, which count for neither side, not below the exact one.
    """
    averages = walsh_averages(values)
    fewer = min(np.sum(averages <= 0), np.sum(averages >= 0))
    return min(1.0, 2 * float(signed_rank_distribution(len(values))[fewer]))


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Hodges-Lehmann centre of positive values on the log scale, and the Walsh interval at ``confidence``.

    Raises ValueError for no values or one that is not positive and finite.
    """
    if not values or not all(0 < value < math.inf for value in values):      # so that NaN is refused
        raise ValueError("an estimate needs positive, finite values")
    averages = walsh_averages([math.log(value) for value in values])
    centre = math.exp(median(averages))
    quantile = signed_rank_quantile(len(values), (1 - confidence) / 2)
    if quantile is None:
        return Estimate(value=centre, low=None, high=None, count=len(values))
    return Estimate(
        value=centre, low=math.exp(averages[quantile - 1]), high=math.exp(averages[-quantile]), count=len(values)
    )
