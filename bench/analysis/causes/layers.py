"""Which layers have a difference: from per-layer profiles of both sides, measured in pairs in an order by coin.

A layer is judged by its excess: what it lost beyond a slowdown that all other layers share, such as that of a process
that is slower as a whole. Were there no difference but a common one, swapping the sides of a pair would change the sign
of every excess and nothing else; so all combinations of signs are equally likely, and the largest mean excess is
compared with that of each of them (Westfall and Young 1993, max-T by permutations: the chance that any layer is named
wrongly is ALPHA at most, however many there are). The layer found leaves, and the rest is judged again. Layers are
named only if their excess is most of the difference that the verdict is about, which was measured without profiles.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.analysis.causes.cause import Located, Share
from rigmark.bench.analysis.layers.layers import UNATTRIBUTED
from rigmark.bench.store.stored import Layers

PAIRS = 8                    # of profiles: 2 ** -8 is below ALPHA
ALPHA = 0.01                 # chance that a layer is named although the difference is common to all
MOST = 0.5                   # of the difference, which layers must have to be named as its place
LEAST_PART = 0.05            # of the difference, with which a row is named
LEAST_REST = 0.02            # of a step of the faster side, with which a row can be compared
AGREEMENT = 2.0              # factor by which the difference of profiles may differ from that of the verdict

Row = tuple[str, str | None]
Times = NDArray[np.float64]
OTHERS: Row = ("(other rows)", None)     # those that one side lacks, since programs are fused differently


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Seconds per step: a line per pair, a column per row."""

    rows: tuple[Row, ...]
    base: Times
    new: Times

    @property
    def difference(self) -> Times:
        return self.new - self.base

    @property
    def mean(self) -> Times:
        return (self.new + self.base) / 2

    @property
    def faster(self) -> Times:
        """Without what was lost: beside a layer that takes many times as long, the others would seem to be nothing."""
        return np.asarray(np.minimum(self.new, self.base))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the difference is."""

    located: tuple[Located, ...]         # largest part first; empty: no row stands out
    share: Share | None                  # of the difference of the verdict, that these have
    is_seen: bool                        # whether the profiles have that difference
    is_spread: bool                      # they have, and layers could stand out, but none does
    difference_s: tuple[float, float]    # the interval of the difference of a step, as the profiles have it

    @property
    def is_in_layers(self) -> bool:
        return any(each.layer != UNATTRIBUTED for each in self.located)


def profiles(pairs: Sequence[tuple[Layers, Layers]]) -> Profiles:
    """The (base, new) profiles of pairs as one table; rows that are not in all of them are one row together."""
    of_side: list[list[dict[Row, float]]] = [
        [{(row.layer, row.direction): row.usual_s for row in side.rows} for side in pair] for pair in pairs
    ]
    every = [times for pair in of_side for times in pair]
    common = [row for row in every[0] if all(row in times for times in every)] if every else []
    others = [[math.fsum(time_s for row, time_s in times.items() if row not in common) for times in pair]
              for pair in of_side]
    table = np.array([[[times[row] for row in common] for times in pair] for pair in of_side], np.float64)
    if any(map(any, others)):
        table = np.concatenate([table, np.array(others, np.float64)[:, :, None]], axis=2)
        common = [*common, OTHERS]
    return Profiles(rows=tuple(common), base=table[:, 0], new=table[:, 1])


def place(measured: Profiles, difference_s: float) -> Place:
    """Where the difference of a step is, new - base, which the verdict is about."""
    difference, mean = measured.difference, measured.mean
    sign = math.copysign(1.0, difference_s)
    totals = _interval(difference.sum(axis=1))
    low, high = sorted(sign * each for each in totals)
    may_agree = low <= AGREEMENT * abs(difference_s) and high >= abs(difference_s) / AGREEMENT
    found = [row for row in _standing_out(measured, sign)
             if sign * difference[:, row].mean() > LEAST_PART * abs(difference_s)]
    share = _share(difference, mean, found, measured.rows, difference_s) if found else None
    if share is None or not may_agree or share.low <= MOST or share.low > AGREEMENT:
        is_seen = may_agree and low > 0
        largest = float((measured.faster.sum(axis=0) / measured.faster.sum()).max())
        return Place(
            located=(), share=None, is_seen=is_seen, is_spread=is_seen and not found and largest < 1 - LEAST_REST,
            difference_s=totals,
        )
    found.sort(key=lambda row: -sign * float(difference[:, row].mean()))
    return Place(
        located=tuple(Located(
            layer=measured.rows[row][0], direction=measured.rows[row][1],
            base_time_s=float(np.median(measured.base[:, row])), new_time_s=float(np.median(measured.new[:, row])),
        ) for row in found),
        share=share, is_seen=True, is_spread=False, difference_s=totals,
    )


def _share(
    difference: Times, mean: Times, found: Sequence[int], rows: Sequence[Row], difference_s: float
) -> Share:
    """The excess of these rows together / the difference."""
    rest = [column for column in _layers(rows) if column not in found]
    excess = _beyond(difference[:, found].sum(axis=1), mean[:, found].sum(axis=1), difference[:, rest], mean[:, rest])
    low, high = sorted(each / difference_s for each in _interval(excess))
    return Share(value=float(np.mean(excess)) / difference_s, low=low, high=high)


def _layers(rows: Sequence[Row]) -> list[int]:
    """The columns that are layers. What the host does between them need not slow down with them."""
    return [column for column, (layer, _) in enumerate(rows) if layer != UNATTRIBUTED]


def _standing_out(measured: Profiles, sign: float) -> list[int]:
    """The columns whose excess is more than chance; see above."""
    count, rows = len(measured.base), measured.rows
    if count < PAIRS:
        return []
    signs = np.array([*itertools.product((1.0, -1.0), repeat=count)])
    found: list[int] = []
    left = [column for column, row in enumerate(rows) if row != OTHERS]
    while left:
        excess = np.stack([sign * _excess(measured, column, found) for column in left], axis=1)
        largest = (signs @ excess / count).max(axis=1)
        if largest[0] <= 0 or np.mean(largest >= largest[0] * (1 - 1e-12)) > ALPHA:
            break
        found.append(left.pop(int(np.argmax(excess.mean(axis=0)))))
    return found


def _excess(measured: Profiles, column: int, found: Sequence[int]) -> Times:
    """The excess of a row in each pair beyond all layers but those found; 0 where these are too little to tell."""
    difference, mean, faster = measured.difference, measured.mean, measured.faster
    rest = [each for each in _layers(measured.rows) if each != column and each not in found]
    if faster[:, rest].sum() < LEAST_REST * faster.sum():
        return np.zeros(len(mean))
    return _beyond(difference[:, column], mean[:, column], difference[:, rest], mean[:, rest])


def _beyond(difference: Times, mean: Times, rest_difference: Times, rest_mean: Times) -> Times:
    return np.asarray(difference - mean * rest_difference.sum(axis=1) / rest_mean.sum(axis=1), np.float64)


def _interval(values: Times) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t."""
    from scipy import stats

    count, middle = len(values), float(np.mean(values))
    if count < 2:
        return -math.inf, math.inf
    half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return middle - half, middle + half
