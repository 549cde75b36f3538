"""Where the level of a series changed: rank CUSUM in many intervals, with the exact null of its maximum.

The statistic is that of Pettitt 1979 in each of the seeded intervals of Kovacs, Buhlmann, Li and Munk 2023; the
narrowest interval over the threshold tells the change first. Since a rank statistic does not depend on how the noise
is distributed, one simulation for each length gives the distribution of its maximum over all intervals, and with it
false alarms as rare as is asked for, selection of the best split included. Serial correlation widens the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.analysis.statistics.changepoints_null import LENGTHS, MAXIMA, TAILS
from rigmark.bench.analysis.statistics.decision import FLOOR

FALSE_ALARMS = 0.01          # chance that a series without a change is said to have one
SIDE = 5                     # points on each side of a change
FEWEST = 12                  # points of a series
NARROWEST, WIDEST = 20, 400  # points of an interval; a level that held for longer needs no more to be seen
DECAY = math.sqrt(2)         # from one length of intervals to the next
ROUNDS = 3                   # of estimating the serial correlation, which changes that are found change
NEAR = 100                   # points on each side that tell where a change is
RESAMPLES = 199
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A step in a series."""

    index: int               # of the first point at the new level
    low: int                 # 95 % interval of it
    high: int
    before: float            # medians of the levels, in the unit of the series
    after: float
    p_value: float           # that a series of this length without a change has one so clear

    @property
    def ratio(self) -> float:
        return self.after / self.before


@dataclass(frozen=True, kw_only=True)
class _Best:
    """The best split of each of many intervals."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    splits: NDArray[np.int64]        # index of the first point of the new level
    statistics: Floats


def changes(values: Floats, *, false_alarms: float = FALSE_ALARMS, floor: float = FLOOR) -> list[Change]:
    """The steps of at least ``floor`` (0.01 is 1 %) in a series of positive values, oldest first.

    Empty for fewer than FEWEST points. Raises ValueError for a value that is not positive and finite.
    """
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError("levels are compared by their ratio, so all values must be positive and finite")
    count = len(values)
    if count < FEWEST:
        return []
    logs = np.log(values)
    best = _best_splits(_distinct(logs))
    threshold, widening, places = critical_value(count, false_alarms), 1.0, np.empty(0, int)
    for _ in range(ROUNDS):
        places = _narrowest(best, threshold * widening)
        widened = _widening(logs, places)
        if abs(widened - widening) < 0.02:
            break
        widening = widened
    kept = _above_floor(logs, places, math.log1p(floor))
    return [_change(values, logs, kept, place, best, widening) for place in range(len(kept))]


def p_value(statistic: float, count: int) -> float:
    """Chance that the largest statistic of a series of ``count`` points without a change is at least this.

    Between and beyond what was simulated its logarithm falls with the square of the statistic, as a normal tail does.
    """
    length = min(count, LENGTHS[-1])
    quantiles = np.array([np.interp(math.log(length), np.log(LENGTHS), column) for column in np.transpose(MAXIMA)])
    logarithms = np.log(TAILS)
    if statistic <= quantiles[0]:
        log_p = 0.0 if statistic <= 0 else logarithms[0] * (statistic / quantiles[0]) ** 2
    elif statistic >= quantiles[-1]:
        log_p = logarithms[-1] - (statistic**2 - quantiles[-1] ** 2) / 2
    else:
        log_p = float(np.interp(statistic**2, quantiles**2, logarithms))
    return min(1.0, math.exp(log_p) * _blocks(count))


@cache
def critical_value(count: int, chance: float) -> float:
    """The statistic that a series of ``count`` points without a change exceeds with this chance, by bisection."""
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(middle, count) > chance else (low, middle)
    return high


def _blocks(count: int) -> float:
    """Each interval of a long series lies in one of so many blocks of the greatest length that was simulated."""
    return max(1.0, math.ceil((count - LENGTHS[-1]) / (LENGTHS[-1] - WIDEST)) + 1)


# Intervals ----------------------------------------------------------------------------------------------------------


def intervals(count: int) -> list[tuple[int, NDArray[np.int64]]]:
    """(length, starts) of each size of interval, narrowest first; the same for every series of this length."""
    sizes, length = set(), float(min(count, WIDEST))
    while length >= min(NARROWEST, count):
        sizes.add(math.ceil(length))
        length /= DECAY
    by_size = []
    for size in sorted(sizes):
        number = 2 * math.ceil(count / size) - 1
        by_size.append((size, np.unique(np.round(np.linspace(0, count - size, number)).astype(int))))
    return by_size


def cusum(ranks: NDArray[np.int32]) -> Floats:
    """|standardised sum of ranks| before each split that leaves SIDE points on each side; a row has the ranks 1..n."""
    size = ranks.shape[-1]
    splits = np.arange(SIDE, size - SIDE + 1)
    sums = np.cumsum(ranks - (size + 1) / 2, axis=-1)[..., SIDE - 1:size - SIDE]
    statistics: Floats = np.abs(sums) / np.sqrt(splits * (size - splits) * (size + 1) / 12)
    return statistics


def ranks_of(rows: Floats) -> NDArray[np.int32]:
    """1..n within each row, of distinct values."""
    ranks: NDArray[np.int32] = np.empty_like(rows, np.int32)
    np.put_along_axis(ranks, np.argsort(rows, axis=-1), np.arange(1, rows.shape[-1] + 1, dtype=np.int32)[None], axis=-1)
    return ranks


def _best_splits(values: Floats) -> _Best:
    starts, lengths, splits, statistics = [], [], [], []
    for size, begins in intervals(len(values)):
        heights = cusum(ranks_of(np.lib.stride_tricks.sliding_window_view(values, size)[begins]))
        best = heights.argmax(axis=1)
        starts.append(begins)
        lengths.append(np.full(len(begins), size))
        splits.append(begins + SIDE + best)
        statistics.append(heights[np.arange(len(begins)), best])
    return _Best(
        starts=np.concatenate(starts), lengths=np.concatenate(lengths), splits=np.concatenate(splits),
        statistics=np.concatenate(statistics),
    )


def _distinct(values: Floats) -> Floats:
    """Places 0, 1, 2, ... in sorted order, with equal values in random order: in that of time they would be a trend."""
    shuffled = np.random.default_rng(len(values)).permutation(len(values))
    places = np.empty(len(values))
    places[np.lexsort((shuffled, values))] = np.arange(len(values))
    return places


def _narrowest(best: _Best, threshold: float) -> NDArray[np.int64]:
    """The split of each interval over the threshold, narrowest first, that holds none of the splits already taken."""
    taken: list[int] = []
    for candidate in np.flatnonzero(best.statistics >= threshold):
        start, stop = best.starts[candidate], best.starts[candidate] + best.lengths[candidate]
        if not any(start < split < stop for split in taken):
            taken.append(int(best.splits[candidate]))
    return np.array(sorted(taken), int)


# Levels -------------------------------------------------------------------------------------------------------------


def _levels(logs: Floats, splits: NDArray[np.int64]) -> list[Floats]:
    return np.split(logs, splits)


def _widening(logs: Floats, splits: NDArray[np.int64]) -> float:
    """By how much serial correlation of what the levels leave makes sums of ranks vary more."""
    rest = np.concatenate([level - np.median(level) for level in _levels(logs, splits)])
    centred = _distinct(rest) - (len(rest) - 1) / 2
    correlation = float(np.clip(np.sum(centred[1:] * centred[:-1]) / np.sum(centred**2), 0, 0.95))
    return math.sqrt((1 + correlation) / (1 - correlation))


def _above_floor(logs: Floats, splits: NDArray[np.int64], floor: float) -> NDArray[np.int64]:
    """Without the steps that are too small to matter, the smallest first, since its levels then become one."""
    while len(splits):
        steps = np.abs(np.diff([np.median(level) for level in _levels(logs, splits)]))
        smallest = int(np.argmin(steps))
        if steps[smallest] >= floor:
            break
        splits = np.delete(splits, smallest)
    return splits


def _change(
    values: Floats, logs: Floats, splits: NDArray[np.int64], place: int, best: _Best, widening: float
) -> Change:
    edges = [0, *map(int, splits), len(values)]
    start, split, stop = edges[place], edges[place + 1], edges[place + 2]
    is_told = best.splits == split
    first = max(start, split - NEAR)
    near = logs[first:min(stop, split + NEAR)]
    at, low, high = (first + index for index in _location(near, split - first))
    return Change(
        index=at, low=low, high=high,
        before=float(np.median(values[start:at])), after=float(np.median(values[at:stop])),
        p_value=p_value(float(best.statistics[is_told].max()) / widening, len(values)),
    )


def _location(logs: Floats, split: int) -> tuple[int, int, int]:
    """First point of the new level, and its 95 % interval: where it is found when the noise is drawn anew.

    The statistic that tells that there is a step prefers the middle of its interval; where it is, is told by the least
    sum of distances from the two levels.
    """
    low, high = np.median(logs[:split]), np.median(logs[split:])
    at = int(_nearest(logs[None], low, high)[0])
    rng = np.random.default_rng(len(logs))
    drawn = np.concatenate([
        low + rng.choice(logs[:at] - low, (RESAMPLES, at)),
        high + rng.choice(logs[at:] - high, (RESAMPLES, len(logs) - at)),
    ], axis=1)
    splits = _nearest(drawn, low, high)
    tail = (1 - CONFIDENCE) / 2
    return at, min(at, int(np.quantile(splits, tail))), max(at, math.ceil(np.quantile(splits, 1 - tail)))


def _nearest(rows: Floats, low: float, high: float) -> NDArray[np.int64]:
    """The split of each row, SIDE points from its ends or more, that leaves all points nearest to the two levels."""
    gains = np.cumsum(np.abs(rows - low) - np.abs(rows - high), axis=1)
    splits: NDArray[np.int64] = SIDE + np.argmin(gains[:, SIDE - 1:rows.shape[1] - SIDE], axis=1)
    return splits

