"""Summarises the readings in a region of a trial: means, differences and energy per device, or why they are unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.telemetry import energy
from rigmark.bench.telemetry.energy import Reads, Sensor
from rigmark.bench.telemetry.series import REASONS, SAMPLER, Described
from rigmark.bench.telemetry.sources import EVERY_MEDIUM, Device, Field, Meaning, Reason, Tier

REGIONS = {"warm_up": ("warm_up", "steady"), "timed": ("steady", "timed")}
"""The regions, each with the marks of the worker at which it begins and ends; see bench.worker."""

GAP_PERIODS = 3              # of a field's own rate; a longer time without reads is a gap: the field is unknown
LEAST_COVERED = 0.5          # share of a region that must be covered by reads, or the field is unknown
LEAST_BUSY_S = 5.0           # the driver averages busy ratios over up to 1 s: in shorter regions they are 10 % off

NOT_READ, TOO_SHORT, RESET = "not_read", "too_short", "reset"
"""Reasons why a field is unknown although no read failed; see also bench.telemetry.sources.Reason."""


class Region(NamedTuple):
    name: str
    begin_s: float               # seconds of time.perf_counter
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.begin_s


class FieldReads(NamedTuple):
    """All readings of one field of one device in a trial."""

    field: Field
    reads: Reads                 # the known readings
    failed: Reads                # the others, with the value that was stated, or NaN
    reasons: list[str]           # why each of these failed

    def gap_s(self, rate_hz: float) -> float:
        """The longest time between two reads that does not count as a gap."""
        seldom_s = max(1.0, 1 / rate_hz)
        period_s = {
            Tier.FAST: 1 / rate_hz, Tier.MEDIUM: EVERY_MEDIUM / rate_hz, Tier.EVENTS: seldom_s, Tier.SLOW: seldom_s,
        }
        return GAP_PERIODS * period_s[self.field.tier]

    def why_unknown(self, region: Region) -> str:
        """The most frequent reason in the region; without reads in it, that of the last read before, or first after."""
        is_inside = (self.failed.end_s >= region.begin_s) & (self.failed.begin_s <= region.end_s)
        if np.any(is_inside):
            reasons = [reason for reason, inside in zip(self.reasons, is_inside, strict=True) if inside]
            return Counter(reasons).most_common(1)[0][0]
        if len(self.reads.values) or not self.reasons:       # it did answer; the failures belong to another time
            return NOT_READ
        before = int(np.sum(self.failed.begin_s <= region.end_s))
        return self.reasons[max(0, before - 1)]


def regions(marks: Mapping[str, float]) -> list[Region]:
    """The regions that a trial has completed, from the times of its marks in seconds."""
    return [
        Region(name, marks[begin], marks[end]) for name, (begin, end) in REGIONS.items()
        if begin in marks and end in marks
    ]


def described(
    readings: NDArray[Any], sources: Sequence[Described], marks: Mapping[str, float],
    active: Collection[str] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(devices, regions) of a trial in the form of its record; ``readings`` are those of bench.telemetry.series.read.

    Devices are those of the ``active`` sources, which were read; None means all sources.
    """
    devices, by_device = [], []
    for number, source in enumerate(sources):
        if source.name != SAMPLER and (active is None or source.name in active):
            of_source = readings[readings["source"] == number]
            for position, device in enumerate(source.devices):
                devices.append({
                    "source": source.name, "rate_hz": source.rate_hz, "id": device.id, "kind": device.kind,
                    "name": device.name, "facts": dict(device.facts),
                    "unknown": {name: str(reason) for name, reason in device.unknown.items()},
                })
                of_device = of_source[of_source["device"] == position]
                by_device.append((source, device, list(_by_field(of_device, source.fields))))
    return devices, [
        {
            "name": region.name, "duration_s": region.duration_s,
            "devices": [
                {"device": index, **_device(region, source, device, fields)}
                for index, (source, device, fields) in enumerate(by_device) if fields
            ],
        }
        for region in regions(marks)
    ]


def _by_field(readings: NDArray[Any], fields: Sequence[Field]) -> Iterator[FieldReads]:
    """Every field that was read at least once."""
    for number, field in enumerate(fields):
        of_field = readings[readings["field"] == number]
        if len(of_field):
            every = Reads(of_field["begin_ns"] * 1e-9, of_field["end_ns"] * 1e-9, of_field["value"])
            is_known = of_field["reason"] == 0
            yield FieldReads(
                field, every.known(is_known), every.known(~is_known),
                [str(REASONS[code]) for code in of_field["reason"][~is_known]],
            )


def _device(region: Region, source: Described, device: Device, fields: Sequence[FieldReads]) -> dict[str, Any]:
    values: dict[str, dict[str, float]] = {}
    unknown: dict[str, str] = {}
    implausible: dict[str, dict[str, float]] = {}
    shares: dict[str, float] | None = None
    for of_field in fields:
        name, gap_s = of_field.field.name, of_field.gap_s(source.rate_hz)
        figures = _field(region, of_field, gap_s)
        if (said := _implausible(region, of_field, device, figures)) is not None:
            implausible[name] = said
        if isinstance(figures, str):
            unknown[name] = figures
        elif of_field.field.meaning is Meaning.BITS:
            shares = {**(shares or {}), **figures}
        elif of_field.field.meaning is Meaning.COUNTER and said is not None:
            unknown[name] = Reason.IMPLAUSIBLE
        else:
            values[name] = figures
    fast = [of_field for of_field in fields if of_field.field.tier is Tier.FAST and len(of_field.reads.values)]
    gap_s = GAP_PERIODS / source.rate_hz
    sound = [
        of_field for of_field in fields
        if unknown.get(of_field.field.name) != Reason.IMPLAUSIBLE and not (
            # If the counter does not count, power that never changes is stuck as well.
            of_field.field.name == "power_w" and "energy_j" in implausible and _stands_still(values.get("power_w"))
        )
    ]
    return {
        "values": values, "unknown": unknown, "implausible": implausible, "lost_s": _lost_s(region, fields),
        **_energy(region, device, sound, gap_s), "event_shares": shares,
        "coverage": max((_covered(region, of_field.reads, gap_s) for of_field in fast), default=0.0),
    }


def _stands_still(gauge: Mapping[str, float] | None) -> bool:
    return gauge is not None and gauge["min"] == gauge["max"]


def _lost_s(region: Region, fields: Sequence[FieldReads]) -> float | None:
    """Seconds from the begin of a region to the first read that found the device lost; None if none did.

    The first read after the end of the region counts too: it covers the time since the read before. At a mark that is
    hardly any time.
    """
    first_s = np.inf
    for of_field in fields:
        lost_s = of_field.failed.begin_s[np.array([reason == Reason.LOST for reason in of_field.reasons], bool)]
        every_s = np.concatenate([of_field.reads.begin_s, of_field.failed.begin_s])
        until_s = np.min(every_s[every_s >= region.end_s], initial=np.inf)
        first_s = min(first_s, np.min(lost_s[(lost_s >= region.begin_s) & (lost_s <= until_s)], initial=np.inf))
    return None if first_s == np.inf else float(first_s) - region.begin_s


def _field(region: Region, of_field: FieldReads, gap_s: float) -> dict[str, float] | str:
    """{statistic: number} of one field in one region, or the reason why it is unknown."""
    if region.duration_s < LEAST_BUSY_S and of_field.field.name.endswith("busy_ratio"):
        return TOO_SHORT
    if _covered(region, of_field.reads, gap_s) < LEAST_COVERED:
        return of_field.why_unknown(region)
    match of_field.field.meaning:
        case Meaning.GAUGE:
            return _gauge(region, of_field.reads)
        case Meaning.COUNTER:
            return (_count if of_field.field.tier is Tier.EVENTS else _difference)(region, of_field.reads)
        case Meaning.BITS:
            return _shares(region, of_field.reads, of_field.field.flags)


def _implausible(
    region: Region, of_field: FieldReads, device: Device, figures: Mapping[str, float] | str
) -> dict[str, float] | None:
    """The implausible readings in a region, see docs/record.schema.json; None if there are none.

    Of a counter it is the growth per second over the whole region.
    """
    within = of_field.field.plausible
    if within is None:
        return None
    low, high = within.ends(device.facts)
    is_counter = of_field.field.meaning is Meaning.COUNTER
    if is_counter:
        if isinstance(figures, str):
            return None
        # Counters change in ticks: in a short time by nothing, or by more than their rate allows.
        is_long = region.duration_s >= 1.0
        growth = figures["difference"]
        is_sound = growth <= high * max(1.0, region.duration_s) and (growth >= low * region.duration_s or not is_long)
        said = np.array([] if is_sound else [growth / region.duration_s])
        reads = 1
    else:
        is_meant = np.array([reason == Reason.IMPLAUSIBLE for reason in of_field.reasons], bool)
        said = _inside(region, of_field.failed.known(is_meant)).values
        reads = len(said) + len(_inside(region, of_field.reads).values)
    if not len(said):
        return None
    furthest = said[np.argmax(np.maximum(low - said, said - high))]
    return {
        "said": float(furthest), "low": low, "high": high, "reads": len(said), "of": reads, "per_second": is_counter,
    }


def _inside(region: Region, reads: Reads) -> Reads:
    return reads.known((reads.begin_s >= region.begin_s) & (reads.begin_s <= region.end_s))


def _covered(region: Region, reads: Reads, gap_s: float) -> float:
    """Share of the region that is covered, which means at most half of ``gap_s`` away from a read."""
    if not len(reads.values) or region.duration_s <= 0:
        return 0.0
    begins = np.clip(reads.middle_s - gap_s / 2, region.begin_s, region.end_s)
    ends = np.clip(reads.middle_s + gap_s / 2, region.begin_s, region.end_s)
    # Each read covers what those before it did not.
    covered_s = np.sum(np.maximum(0.0, ends - np.maximum(begins, np.concatenate([[region.begin_s], ends[:-1]]))))
    return float(min(1.0, covered_s / region.duration_s))


def _weights_s(region: Region, reads: Reads) -> NDArray[np.float64]:
    """Seconds of the region that each read represents: half of the time to the read before and to the one after."""
    middle_s = reads.middle_s
    edges_s = np.concatenate([[-np.inf], (middle_s[1:] + middle_s[:-1]) / 2, [np.inf]])
    return np.diff(np.clip(edges_s, region.begin_s, region.end_s))


def _gauge(region: Region, reads: Reads) -> dict[str, float]:
    weights_s = _weights_s(region, reads)
    within = reads.values[weights_s > 0]
    mean = float(np.average(reads.values, weights=weights_s))
    return {"mean": mean, "min": float(np.min(within)), "max": float(np.max(within))}


def _difference(region: Region, reads: Reads) -> dict[str, float] | str:
    """Growth of a counter in a region; before the first read and after the last it is extrapolated."""
    begin_s = max(region.begin_s, reads.middle_s[0])
    end_s = min(region.end_s, reads.middle_s[-1])
    around = (reads.end_s >= region.begin_s) & (reads.begin_s <= region.end_s)
    if np.any(np.diff(reads.values[around]) < 0):
        return RESET
    if end_s <= begin_s:
        return NOT_READ
    at_begin, at_end = np.interp([begin_s, end_s], reads.middle_s, reads.values)
    return {"difference": float((at_end - at_begin) * region.duration_s / (end_s - begin_s))}


def _count(region: Region, reads: Reads) -> dict[str, float] | str:
    """Growth of a counter of events between the reads at both marks, so that the number of events is exact.

    If there was no read at a mark, the first read after it is used, else the last one before it.
    """
    first, last = (
        min(int(np.searchsorted(reads.begin_s, at_s)), len(reads.values) - 1)
        for at_s in (region.begin_s, region.end_s)
    )
    if first == last:
        return NOT_READ
    if np.any(np.diff(reads.values[first:last + 1]) < 0):
        return RESET
    return {"difference": float(reads.values[last] - reads.values[first])}


def _shares(region: Region, reads: Reads, flags: Sequence[str]) -> dict[str, float]:
    """Share of the time in which each flag was set; flags that were never set are left out."""
    weights_s = _weights_s(region, reads)
    words = reads.values.astype(np.uint64)
    seen = int(np.bitwise_or.reduce(words[weights_s > 0], initial=0))
    return {
        flags[bit] if bit < len(flags) else f"unknown_{1 << bit:#x}":
        float(np.sum(weights_s[(words >> np.uint64(bit)) & np.uint64(1) == 1]) / region.duration_s)
        for bit in range(seen.bit_length()) if seen >> bit & 1
    }


def _energy(region: Region, device: Device, fields: Sequence[FieldReads], gap_s: float) -> dict[str, Any]:
    """Energy of a region by counter, else by power; if there are both, the energy by power is added as a check."""
    reads = {of_field.field.name: of_field.reads for of_field in fields if len(of_field.reads.values)}
    counter, power = reads.get("energy_j"), reads.get("power_w")
    sensor = Sensor(
        power_limit_w=device.facts.get("power_limit_w"), power_average_s=device.facts.get("power_average_s") or 0.0,
        counter_period_s=device.facts.get("energy_period_s"),
    )
    used = energy.of_region(region.begin_s, region.end_s, counter, power, sensor, gap_s)
    check = energy.of_region(region.begin_s, region.end_s, None, power, sensor, gap_s)
    plain = _plain(used)
    return {**plain, "energy_check": None if check is None or check == used else _plain(check)}


def _plain(used: energy.Energy | None) -> dict[str, Any]:
    if used is None:
        return {"energy_j": None, "energy_method": None, "energy_bound_j": None}
    return {"energy_j": used.joules, "energy_method": used.method.value, "energy_bound_j": used.bound_j}
