"""Energy of a region of time, from readings of a device's counter or power sensor, with a bound of its error.

Counters and sensors are coarse: on GPUs they are updated every 20 to 100 ms (Yang et al. 2024, "Part-time power
measurements"; Zeus), and they are read only once per period of the telemetry process. The bound covers only that. The
error of the sensor itself comes on top, and software cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOW_SHARE = 0.75            # share of reads with a new value; if it is lower, the counter is slower than the reads


class Method(StrEnum):
    """How an energy was determined, best method first."""

    COUNTER_TICKS = "counter_ticks"              # linear between the times at which the counter changed
    COUNTER_DIFFERENCE = "counter_difference"    # linear between reads: the counter changes faster than that
    POWER_INSTANT = "power_integral_instant"     # no counter: momentary power, integrated over time
    POWER_AVERAGE = "power_integral_average"     # power averaged over a window, shifted back by half of it


class Energy(NamedTuple):
    joules: float
    method: Method
    bound_j: float              # largest error of the energy; see the methods for the conditions


class Reads(NamedTuple):
    """The known readings of one field, in order of time."""

    begin_s: Array               # times before and after the read
    end_s: Array
    values: Array

    @property
    def middle_s(self) -> Array:
        return (self.begin_s + self.end_s) / 2

    def known(self, chosen: NDArray[np.bool_]) -> Reads:
        return Reads(self.begin_s[chosen], self.end_s[chosen], self.values[chosen])


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What is known about the sensors of a device."""

    power_limit_w: float | None = None       # highest power, averaged over the period of the counter
    power_average_s: float = 0.0           # window over which a power reading is averaged; 0: momentary
    counter_period_s: float | None = None  # longest time between updates of the counter; None: not known


def of_region(
    begin_s: float, end_s: float, counter: Reads | None, power: Reads | None, sensor: Sensor, longest_gap_s: float
) -> Energy | None:
    """Energy from ``begin_s`` to ``end_s``; None if the device has no readings, or none near one of the ends.

    The counter is preferred, unless it was reset meanwhile. There must be reads within ``longest_gap_s`` of both ends.
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
    """The reads from the last reset of the counter before a region to the first reset after it."""
    resets = np.flatnonzero(np.diff(counter.values) < 0) + 1         # the first read after each reset
    before = resets[counter.end_s[resets] <= begin_s]
    after = resets[counter.begin_s[resets - 1] >= end_s]
    return Reads(*(column[max(before, default=0):min(after, default=None)] for column in counter))


def _reaches(reads: Reads, begin_s: float, end_s: float, longest_gap_s: float) -> bool:
    within = reads.begin_s[(reads.begin_s >= begin_s - longest_gap_s) & (reads.end_s <= end_s + longest_gap_s)]
    return len(within) > 1 and within[0] <= begin_s + longest_gap_s and within[-1] >= end_s - longest_gap_s


def _highest_power_w(counter: Reads, power: Reads | None, sensor: Sensor) -> float | None:
    """The highest power that the device can have drawn, in W; None if not known."""
    ticks = _ticks(counter)
    candidates = [sensor.power_limit_w or 0.0]
    if power is not None and len(power.values):
        candidates.append(float(np.max(power.values)))
    if len(ticks.values) > 2:
        # Only the longest times between ticks are used: two ticks within one read would look like a jump.
        middle_s = ticks.middle_s
        spans_s = middle_s[2:] - middle_s[:-2]
        candidates.append(float(np.max((ticks.values[2:] - ticks.values[:-2]) / spans_s)))
    return max(candidates) or None


def _ticks(counter: Reads) -> Reads:
    """The times at which the counter changed: between the read before and the first read with the new value."""
    moved = np.flatnonzero(np.diff(counter.values) > 0) + 1
    return Reads(counter.begin_s[moved - 1], counter.end_s[moved], counter.values[moved])


# By a counter -------------------------------------------------------------------------------------------------------


def from_counter(
    begin_s: float, end_s: float, counter: Reads, highest_w: float, period_s: float | None = None
) -> Energy:
    """Energy from a counter that was not reset. The bound holds if the device never drew more than ``highest_w``.

    If reads are more frequent than the ticks of the counter, the times of ticks are known to within one read, and the
    counter is exact at these times; otherwise each reading belongs to the time at which it was made.
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
    """The counter at a time, interpolated between the two points around it, or extrapolated from the nearest two."""
    middle_s = points.middle_s
    after = int(np.clip(np.searchsorted(middle_s, at_s), 1, len(middle_s) - 1))
    before = after - 1
    slope_w = (points.values[after] - points.values[before]) / (middle_s[after] - middle_s[before])
    return float(points.values[before] + slope_w * (at_s - middle_s[before]))


def _limits(at_s: float, counter: Reads, highest_w: float, period_s: float | None) -> tuple[float, float]:
    """The least and the greatest energy that the device can have used until a time, since the counter began.

    A reading is the energy at the last tick of the counter. That tick is not later than the end of the read and, if the
    value is new, not earlier than the read before. Since then the device drew between 0 and ``highest_w``.
    """
    since_end_s = at_s - counter.end_s
    low = np.max(counter.values - highest_w * np.maximum(0.0, -since_end_s))
    is_new = np.flatnonzero(np.diff(counter.values, prepend=-np.inf) > 0)
    earliest_s = counter.begin_s[np.maximum(is_new - 1, 0)]
    if period_s is not None:
        earliest_s = np.maximum(earliest_s, counter.begin_s[is_new] - period_s)
    # The tick of the very first reading is not known.
    known = is_new > 0
    rising = counter.values[is_new] + highest_w * np.maximum(0.0, at_s - earliest_s)
    return float(low), float(np.min(rising[known]))


# By power -----------------------------------------------------------------------------------------------------------


def from_power(begin_s: float, end_s: float, power: Reads, sensor: Sensor) -> Energy:
    """Energy by the trapezoid rule, extrapolated to both ends, or with the nearest reading there.

    The bound holds if power does not vary faster than it is read: between two readings it is assumed to be in the range
    of the readings around them. What an averaging sensor blurs across the two ends is bounded by the highest power.
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
    """Time between two new values of a sensor; at least the time between reads, and that if the value never changes."""
    moved_s = power.middle_s[np.flatnonzero(np.diff(power.values) != 0) + 1]
    between_reads_s = float(np.median(np.diff(power.middle_s)))
    return max(between_reads_s, float(np.median(np.diff(moved_s)))) if len(moved_s) > 2 else between_reads_s


def _swing_j(knots_s: Array, times_s: Array, values: Array, renewed_s: float) -> float:
    """The largest deviation from the line in J, if power stays within the range of the readings around it."""
    swing_j = 0.0
    first = np.searchsorted(times_s, knots_s[:-1] - renewed_s, side="left")
    last = np.searchsorted(times_s, knots_s[1:] + renewed_s, side="right")
    for i, length_s in enumerate(np.diff(knots_s)):
        around = values[max(0, first[i] - 1) : last[i] + 1]
        swing_j += float(length_s * (np.max(around) - np.min(around)))
    return swing_j

