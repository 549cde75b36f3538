"""What readings say of the regions of a trial, and what they leave unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from rigmark.bench.telemetry import regions, series
from rigmark.bench.telemetry.series import Described, packed
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Range, Reading, Reason, Tier

FIELDS = (
    Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST),
    Field(name="energy_j", meaning=Meaning.COUNTER, tier=Tier.FAST, plausible=Range(low=0.1, high=800.0)),
    Field(name="busy_ratio", meaning=Meaning.GAUGE, tier=Tier.FAST),
    Field(name="clock_events", meaning=Meaning.BITS, tier=Tier.MEDIUM, flags=("idle", "thermal")),
    Field(name="errors", meaning=Meaning.COUNTER, tier=Tier.SLOW),
    Field(name="ecc", meaning=Meaning.COUNTER, tier=Tier.EVENTS),
    Field(name="held_s", meaning=Meaning.COUNTER, tier=Tier.EVENTS, plausible=Range(low=0.1, high=1.1)),
)
NUMBERS = {field.name: number for number, field in enumerate(FIELDS)}
GPU = Described(
    name="gpus", rate_hz=10.0, fields=FIELDS, devices=(
        Device(id="A", kind="gpu", name="first", facts={"power_limit_w": 400.0}),
        Device(id="B", kind="gpu", name="second"),
    ),
)
MARKS = {"started": 0.0, "warm_up": 2.0, "steady": 4.0, "timed": 10.0}


def every(period_s: float, begin_s: float = 0.0, end_s: float = 12.0) -> list[float]:
    return [begin_s + i * period_s for i in range(math.ceil((end_s - begin_s) / period_s - 1e-9))]


def of(name: str, at_s: Sequence[float], value: Any, device: int = 0) -> list[Reading]:
    """Readings of a field: ``value`` is a number, a Reason, or a function of time to one of them."""
    result = [(int(time_s * 1e9), value(time_s) if callable(value) else value) for time_s in at_s]
    return [
        Reading(
            device, NUMBERS[name], at_ns, at_ns, *((None, known) if isinstance(known, Reason) else (known, None))
        )
        for at_ns, known in result
    ]


def device_of(readings: list[Reading], region: str = "timed", marks: dict[str, float] = MARKS) -> dict[str, Any]:
    """The one device of a region."""
    content = b"".join(packed(0, reading) for reading in readings)
    _, described = regions.described(series.read_bytes(content), [GPU], marks)
    (one,) = next(each["devices"] for each in described if each["name"] == region)
    assert isinstance(one, dict)
    return one


def test_a_mean_is_over_time_and_not_over_readings():
    often_when_low = [*every(0.1, 0.0, 7.0), *every(0.01, 7.0, 12.0)]

    device = device_of(of("power_w", often_when_low, lambda s: 300.0 if s < 6.95 else 100.0))

    assert device["values"]["power_w"]["mean"] == pytest.approx(200.0, rel=0.01)
    assert (100.0, 300.0) == (device["values"]["power_w"]["min"], device["values"]["power_w"]["max"])


def test_a_reading_outside_a_region_does_not_count_for_it():
    device = device_of(of("power_w", every(0.1), lambda s: 999.0 if s < 3.5 else 100.0))

    assert {"mean": 100.0, "min": 100.0, "max": 100.0} == {k: round(v) for k, v in device["values"]["power_w"].items()}


def test_a_counter_grows_by_what_lies_between_the_marks():
    device = device_of(of("errors", every(1.0), lambda s: 5.0 * s))

    assert device["values"]["errors"]["difference"] == pytest.approx(30.0)


def test_a_counter_that_was_last_read_shortly_before_the_end_is_taken_to_go_on():
    device = device_of(of("errors", every(1.0, 0.0, 9.5), lambda s: 5.0 * s))

    assert device["values"]["errors"]["difference"] == pytest.approx(30.0)


def test_a_counter_that_began_anew_is_not_known():
    device = device_of(of("errors", every(1.0), lambda s: 50.0 + s if s < 6 else s))

    assert {"errors": "reset"} == device["unknown"]


AT_MARKS = sorted([*every(1.0, 0.3), *(at_s + 0.002 for at_s in MARKS.values())])


@pytest.mark.parametrize(("at_s", "count"), [(1.0, 0), (3.9, 0), (4.1, 1), (7.0, 1), (9.99, 1), (10.1, 0), (11.0, 0)])
def test_an_event_counts_once_and_in_the_region_in_which_it_was(at_s: float, count: int):
    device = device_of(of("ecc", AT_MARKS, lambda s: 7.0 + (s >= at_s)))

    assert {"difference": count} == device["values"]["ecc"]


def test_events_are_counted_up_to_the_last_read_where_there_is_none_after():
    assert {"difference": 2.0} == device_of(of("ecc", every(1.0, 0.3, 9.5), lambda s: 2.0 * (s > 6)))["values"]["ecc"]


def test_one_read_tells_no_growth():
    assert "not_read" == device_of(of("ecc", [4.1], 7.0), marks={"steady": 4.0, "timed": 4.5})["unknown"]["ecc"]


@pytest.mark.parametrize(("rate", "reason"), [(0.5, None), (1.0, None), (1.5, "implausible"), (0.0, "implausible")])
def test_a_counter_that_grows_as_it_cannot_is_not_known(rate: float, reason: str | None):
    device = device_of(of("held_s", AT_MARKS, lambda s: rate * s))

    assert reason == device["unknown"].get("held_s")
    assert ("held_s" in device["implausible"]) == (reason is not None) == ("held_s" not in device["values"])


def test_a_counter_and_a_sensor_that_both_stand_still_tell_no_energy():
    stuck = [*of("energy_j", every(0.05), 7.0), *of("power_w", every(0.05), 150.0)]
    moving = [*of("energy_j", every(0.05), 7.0), *of("power_w", every(0.05), lambda s: 150.0 + (s > 6))]

    assert None is device_of(stuck)["energy_j"]
    assert "implausible" == device_of(stuck)["unknown"]["energy_j"]
    assert "power_integral_instant" == device_of(moving)["energy_method"]


def test_the_ticks_of_a_counter_in_a_short_region_are_plausible():
    device = device_of(of("held_s", AT_MARKS, lambda s: 0.0 if s < 4.1 else 0.5), marks={"steady": 4.0, "timed": 4.2})

    assert {} == device["implausible"]


@pytest.mark.parametrize(("lost", "lost_s"), [
    ((8.5, 99), 4.5), ((9.98, 99), 6.02), ((10.2, 99), None), ((1.0, 3.0), None), ((5.0, 5.3), 1.0), ((1.0, 99), 0.0),
])
def test_when_a_device_was_lost_in_a_region_is_reported(lost: tuple[float, float], lost_s: float | None):
    readings = of("power_w", every(0.05, 0.02), lambda s: Reason.LOST if lost[0] <= s < lost[1] else 100.0)

    device = device_of(readings)["lost_s"]

    assert lost_s == (device if device is None else pytest.approx(device, abs=0.06))


def test_what_was_not_read_in_time_is_not_lost_for_what_it_was_before():
    device = device_of(of("errors", [1.0, 2.0, 3.9], lambda s: Reason.LOST if s < 3 else 0.0))

    assert {"errors": "not_read"} == device["unknown"]


@pytest.mark.parametrize(
    ("marks", "reason"), [({"steady": 4.0, "timed": 8.0}, "too_short"), ({"steady": 4.0, "timed": 10.0}, None)]
)
def test_a_busy_ratio_of_a_short_region_is_not_shown(marks: dict[str, float], reason: str | None):
    device = device_of(of("busy_ratio", every(0.1), 0.7), marks=marks)

    assert reason == device["unknown"].get("busy_ratio")
    assert (reason is None) == ("busy_ratio" in device["values"])


def test_shares_of_clock_events_are_of_time_and_name_unknown_bits():
    device = device_of(of("clock_events", every(0.5), lambda s: (2 if s > 7 else 0) | (1 << 20)))

    assert {"thermal", "unknown_0x100000"} == set(device["event_shares"])
    assert device["event_shares"]["thermal"] == pytest.approx(0.5, abs=0.05)
    assert device["event_shares"]["unknown_0x100000"] == pytest.approx(1.0)


def test_an_event_in_one_region_is_none_of_the_other():
    readings = of("clock_events", every(0.5), lambda s: 2 if s < 3.5 else 0)

    assert device_of(readings, "warm_up")["event_shares"]["thermal"] > 0.6
    assert {} == device_of(readings, "timed")["event_shares"]


def test_what_was_never_known_has_its_reason_and_no_number():
    device = device_of(of("power_w", every(0.1), Reason.NOT_SUPPORTED))

    assert {"power_w": "not_supported"} == device["unknown"]
    assert {} == device["values"]
    assert (None, None, None, 0.0) == (
        device["energy_j"], device["energy_method"], device["energy_bound_j"], device["coverage"]
    )


def test_a_device_that_was_lost_on_the_way_has_no_energy_and_a_gap():
    lost = of("power_w", every(0.1), lambda s: 200.0 if s < 8 else Reason.LOST)

    device = device_of(lost)

    assert device["energy_j"] is None
    assert device["coverage"] == pytest.approx(4 / 6, abs=0.05)


def test_a_read_that_fails_now_and_then_costs_nothing():
    device = device_of(of("power_w", every(0.1), lambda s: Reason.TIMEOUT if round(s * 10) % 3 == 0 else 200.0))

    assert device["values"]["power_w"]["mean"] == pytest.approx(200.0)
    assert device["energy_j"] == pytest.approx(1200.0)
    assert 1.0 == device["coverage"]


def test_energy_by_the_counter_stands_beside_that_by_power():
    device = device_of([*of("energy_j", every(0.05), lambda s: 200.0 * s), *of("power_w", every(0.05), 150.0)])

    assert (1200.0, "counter_difference") == (round(device["energy_j"]), device["energy_method"])
    assert (900.0, "power_integral_instant") == (
        round(device["energy_check"]["energy_j"]), device["energy_check"]["energy_method"]
    )
    assert device["energy_bound_j"] < 60.0


def test_devices_are_distinguished():
    content = b"".join(
        packed(0, reading)
        for reading in [*of("power_w", every(0.1), 100.0), *of("power_w", every(0.1), 300.0, device=1)]
    )
    devices, described = regions.described(series.read_bytes(content), [GPU], MARKS)

    assert ["A", "B"] == [device["id"] for device in devices]
    assert [100, 300] == [round(each["values"]["power_w"]["mean"]) for each in described[1]["devices"]]


def test_a_trial_that_ended_before_its_steps_were_timed_has_no_such_region():
    content = b"".join(packed(0, reading) for reading in of("power_w", every(0.1), 100.0))

    _, described = regions.described(series.read_bytes(content), [GPU], {"started": 0.0, "warm_up": 2.0, "steady": 4.0})

    assert ["warm_up"] == [each["name"] for each in described]


def test_a_source_that_was_not_read_is_not_listed():
    devices, described = regions.described(series.read_bytes(b""), [GPU], MARKS, active=())

    assert [] == devices
    assert [[], []] == [each["devices"] for each in described]
