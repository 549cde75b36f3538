"""Energy of a region of time from what a device's counter or power sensor said, with how far off it may be.

Counter and sensor are coarse: on GPUs they are renewed every 20 to 100 ms (Yang et al. 2024, "Part-time power
measurements"; Zeus), and reads lie apart by the sampler's period. A bound here covers that alone; an error of the
sensor itself comes on top and cannot be seen by software.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOW_SHARE = 0.75            # of the reads that find a new value: below, the counter is slower than the reads


class Method(StrEnum):
    """How an energy was found, best first."""

    COUNTER_TICKS = "counter_ticks"              # the moments at which the counter moved, and lines between them
    COUNTER_DIFFERENCE = "counter_difference"    # it moves faster than it is read: lines between reads
    POWER_INSTANT = "power_integral_instant"     # no counter: power of the moment, summed over time
    POWER_AVERAGE = "power_integral_average"     # power as the mean over a time before, shifted back by half of it


class Energy(NamedTuple):
    joules: float
    method: Method
    bound_j: float              # the true energy differs by no more, see the methods for where that holds


class Reads(NamedTuple):
    """What was read of one field, in order of time; where it was not known there is no entry."""

    begin_s: Array               # before the read, and after it
    end_s: Array
    values: Array

    @property
    def middle_s(self) -> Array:
        return (self.begin_s + self.end_s) / 2

    def known(self, chosen: NDArray[np.bool_]) -> Reads:
        return Reads(self.begin_s[chosen], self.end_s[chosen], self.values[chosen])


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What is known of how a device measures."""

    power_limit_w: float | None = None       # it draws no more, over the times that a counter tells apart
    power_average_s: float = 0.0           # over which a reading of power is averaged; 0 for that of a moment
    counter_period_s: float | None = None  # in which the counter is renewed at least once; None: not known


def of_region(
    begin_s: float, end_s: float, counter: Reads | None, power: Reads | None, sensor: Sensor, longest_gap_s: float
) -> Energy | None:
    """Energy from ``begin_s`` to ``end_s``; None where nothing was read near both ends, or the device says nothing.

    The counter comes first, unless it was reset meanwhile. Reads must lie within ``longest_gap_s`` of both ends.
    """
    counter = None if counter is None else _unbroken(counter, begin_s, end_s)
    if counter is not None and _reaches(counter, begin_s, end_s, longest_gap_s):
        highest_w = _highest_power_w(counter, power, sensor)
        moves = np.diff(counter.values)
        if highest_w is not None and np.any(moves > 0) and not np.any(moves < 0):
            return from_counter(begin_s, end_s, counter, highest_w, sensor.counter_period_s)
    if power is not None and _reaches(power, begin_s, end_s, longest_gap_s):
        return from_power(begin_s, end_s, power, sensor)
    return None


def _unbroken(counter: Reads, begin_s: float, end_s: float) -> Reads:
    """The reads since the counter was last reset before a region, and until it is reset after it."""
    resets = np.flatnonzero(np.diff(counter.values) < 0) + 1         # each is the first read of a new beginning
    before = resets[counter.end_s[resets] <= begin_s]
    after = resets[counter.begin_s[resets - 1] >= end_s]
    return Reads(*(column[max(before, default=0):min(after, default=None)] for column in counter))


def _reaches(reads: Reads, begin_s: float, end_s: float, longest_gap_s: float) -> bool:
    within = reads.begin_s[(reads.begin_s >= begin_s - longest_gap_s) & (reads.end_s <= end_s + longest_gap_s)]
    return len(within) > 1 and within[0] <= begin_s + longest_gap_s and within[-1] >= end_s - longest_gap_s


def _highest_power_w(counter: Reads, power: Reads | None, sensor: Sensor) -> float | None:
    """The most that the device can have drawn; None where nothing tells."""
    ticks = _ticks(counter)
    candidates = [sensor.power_limit_w or 0.0]
    if power is not None and len(power.values):
        candidates.append(float(np.max(power.values)))
    if len(ticks.values) > 2:
        # Of the longest stretches between ticks only: two ticks that are seen in one read would seem a leap.
        middle_s = ticks.middle_s
        spans_s = middle_s[2:] - middle_s[:-2]
        candidates.append(float(np.max((ticks.values[2:] - ticks.values[:-2]) / spans_s)))
    return max(candidates) or None


def _ticks(counter: Reads) -> Reads:
    """When the counter moved: between the read before and the one that first showed the new value."""
    moved = np.flatnonzero(np.diff(counter.values) > 0) + 1
    return Reads(counter.begin_s[moved - 1], counter.end_s[moved], counter.values[moved])


# By a counter -------------------------------------------------------------------------------------------------------


def from_counter(
    begin_s: float, end_s: float, counter: Reads, highest_w: float, period_s: float | None = None
) -> Energy:
    """Energy by a counter that never fell; the bound holds where the device never drew more than ``highest_w``.

    Where reads are more frequent than the counter's own ticks, their moments are known to within a read's distance, at
    which the counter is exact; else each read stands for the moment at which it was made.
    """
    ticks = _ticks(counter)
    is_slow = 1 < len(ticks.values) < SLOW_SHARE * len(counter.values)
    points = ticks if is_slow else counter
    low_begin, high_begin = _limits(begin_s, counter, highest_w, period_s)
    low_end, high_end = _limits(end_s, counter, highest_w, period_s)
    at_begin = min(max(_on_line(begin_s, points), low_begin), high_begin)
    at_end = min(max(_on_line(end_s, points), low_end), high_end)
    least, most = max(0.0, low_end - high_begin), high_end - low_begin
    joules = min(max(at_end - at_begin, least), most)
    method = Method.COUNTER_TICKS if points is ticks else Method.COUNTER_DIFFERENCE
    return Energy(joules, method, max(joules - least, most - joules))


def _on_line(at_s: float, points: Reads) -> float:
    """The counter at a moment, on the line through the two points around it, or through the nearest two."""
    middle_s = points.middle_s
    after = int(np.clip(np.searchsorted(middle_s, at_s), 1, len(middle_s) - 1))
    before = after - 1
    slope_w = (points.values[after] - points.values[before]) / (middle_s[after] - middle_s[before])
    return float(points.values[before] + slope_w * (at_s - middle_s[before]))


def _limits(at_s: float, counter: Reads, highest_w: float, period_s: float | None) -> tuple[float, float]:
    """What the energy since the counter's start was at least and at most at a moment.

    A read shows the energy at the counter's last tick, which is no later than the read's end, and no earlier than the
    read before where the value is new. From there on the device drew at least nothing and at most ``highest_w``.
    """
    since_end_s = at_s - counter.end_s
    low = np.max(counter.values - highest_w * np.maximum(0.0, -since_end_s))
    is_new = np.flatnonzero(np.diff(counter.values, prepend=-np.inf) > 0)
    earliest_s = counter.begin_s[np.maximum(is_new - 1, 0)]
    if period_s is not None:
        earliest_s = np.maximum(earliest_s, counter.begin_s[is_new] - period_s)
    # When the first of all reads was renewed is not known.
    known = is_new > 0
    rising = counter.values[is_new] + highest_w * np.maximum(0.0, at_s - earliest_s)
    return float(low), float(np.min(rising[known]))


# By power -----------------------------------------------------------------------------------------------------------


def from_power(begin_s: float, end_s: float, power: Reads, sensor: Sensor) -> Energy:
    """Energy by the trapezoid rule; to both ends the line goes on, or the nearest reading holds.

    The bound holds where power does not swing faster than it is read: between two readings it is taken to be within
    the range of those around them. What an averaging sensor blurs beyond the two ends is bounded by the most power.
    """
    times_s, values = power.middle_s, power.values
    method = Method.POWER_INSTANT
    blur_j = 0.0
    if sensor.power_average_s > 0:
        renewed_s = _renewal_s(power)
        times_s = times_s - (sensor.power_average_s + renewed_s) / 2
        method = Method.POWER_AVERAGE
        highest_w = max(sensor.power_limit_w or 0.0, float(np.max(values)))
        blur_j = highest_w * (sensor.power_average_s + renewed_s) / 4
    inside = (times_s > begin_s) & (times_s < end_s)
    knots_s = np.concatenate([[begin_s], times_s[inside], [end_s]])
    on_knots_w = np.interp(knots_s, times_s, values)
    joules = float(np.sum(np.diff(knots_s) * (on_knots_w[1:] + on_knots_w[:-1]) / 2))
    return Energy(joules, method, _swing_j(knots_s, times_s, values, _renewal_s(power)) + blur_j)


def _renewal_s(power: Reads) -> float:
    """Time between two new values of a sensor, at least that between reads; of one that stands still, that alone."""
    moved_s = power.middle_s[np.flatnonzero(np.diff(power.values) != 0) + 1]
    between_reads_s = float(np.median(np.diff(power.middle_s)))
    return max(between_reads_s, float(np.median(np.diff(moved_s)))) if len(moved_s) > 2 else between_reads_s


def _swing_j(knots_s: Array, times_s: Array, values: Array, renewed_s: float) -> float:
    """How much the power may have departed from the line, if within the range of the readings around it."""
    swing_j = 0.0
    first = np.searchsorted(times_s, knots_s[:-1] - renewed_s, side="left")
    last = np.searchsorted(times_s, knots_s[1:] + renewed_s, side="right")
    for i, length_s in enumerate(np.diff(knots_s)):
        around = values[max(0, first[i] - 1) : last[i] + 1]
        swing_j += float(length_s * (np.max(around) - np.min(around)))
    return swing_j

