"""Energy of a region by coarse counters and sensors, held against the exact integral of known curves of power."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rigmark.bench.telemetry import energy
from rigmark.bench.telemetry.energy import Method, Reads, Sensor

GRID_S = np.linspace(0.0, 40.0, 80_001)
POWER_W = {
    "steps of training": np.where((GRID_S % 0.237) < 0.16, 300.0, 90.0),
    "blocks": np.where((GRID_S % 3.1) < 1.9, 280.0, 60.0),
    "sine": 200 + 80 * np.sin(2 * np.pi * GRID_S / 1.7),
}
LIMIT_W = 320.0
Array = NDArray[np.float64]


def integral_j(power_w: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum((power_w[1:] + power_w[:-1]) / 2 * np.diff(GRID_S))])


ENERGY_J = {curve: integral_j(power_w) for curve, power_w in POWER_W.items()}


def moments_s(rate_hz: float, seed: int, marks_s: tuple[float, ...] = ()) -> Array:
    """When a sampler reads: at its rate, now and then late, and a little after each mark."""
    random = np.random.default_rng(seed)
    late_s = random.exponential(0.002, int(40 * rate_hz)) * random.choice([1, 1, 1, 8], int(40 * rate_hz))
    return np.sort(np.concatenate([np.arange(len(late_s)) / rate_hz + late_s, np.array(marks_s) + 0.001]))


def reads(at_s: Array, values: Array) -> Reads:
    return Reads(at_s, at_s + 20e-6, values)


def counter(curve: str, at_s: Array, period_s: float) -> Reads:
    """A counter that is renewed each period, and is exact then."""
    return reads(at_s, np.interp(np.floor(at_s / period_s) * period_s, GRID_S, ENERGY_J[curve]))


def sensor(curve: str, at_s: Array, period_s: float, average_s: float = 0.0) -> Reads:
    renewed_s = np.floor(at_s / period_s) * period_s
    if not average_s:
        return reads(at_s, np.interp(renewed_s, GRID_S, POWER_W[curve]))
    joules = np.interp(renewed_s, GRID_S, ENERGY_J[curve])
    before = np.interp(renewed_s - average_s, GRID_S, ENERGY_J[curve])
    return reads(at_s, (joules - before) / average_s)


def regions(duration_s: float, count: int = 25) -> list[tuple[float, float]]:
    random = np.random.default_rng(7)
    return [(begin_s, begin_s + duration_s) for begin_s in random.uniform(3.0, 25.0, count)]


def errors(
    curve: str, duration_s: float, rate_hz: float, known: Sensor, *, counter_s: float | None = None,
    power_s: float | None = None,
) -> tuple[Array, set[Method]]:
    """(relative errors over random regions, methods); fails where one is above its bound."""
    relative_errors, methods = [], set()
    for seed, (begin_s, end_s) in enumerate(regions(duration_s)):
        at_s = moments_s(rate_hz, seed, (begin_s, end_s))
        result = energy.of_region(
            begin_s, end_s, None if counter_s is None else counter(curve, at_s, counter_s),
            None if power_s is None else sensor(curve, at_s, power_s, known.power_average_s), known, 0.5,
        )
        assert result is not None
        true_j = float(np.diff(np.interp([begin_s, end_s], GRID_S, ENERGY_J[curve]))[0])
        assert abs(result.joules - true_j) <= result.bound_j, (begin_s, end_s, result, true_j)
        relative_errors.append(abs(result.joules - true_j) / true_j)
        methods.add(result.method)
    return np.array(relative_errors), methods


@pytest.mark.parametrize("curve", POWER_W)
@pytest.mark.parametrize("duration_s", [0.05, 0.2, 1.0, 10.0])
@pytest.mark.parametrize("counter_s", [0.001, 0.02, 0.1])
def test_a_counter_is_within_its_bound_however_short_the_region(curve: str, duration_s: float, counter_s: float):
    errors(curve, duration_s, 20.0, Sensor(power_limit_w=LIMIT_W), counter_s=counter_s)


@pytest.mark.parametrize("curve", POWER_W)
def test_ticks_that_are_seen_make_a_slow_counter_exact_to_one_per_cent(curve: str):
    relative_errors, methods = errors(curve, 5.0, 50.0, Sensor(power_limit_w=LIMIT_W), counter_s=0.1)

    assert {Method.COUNTER_TICKS} == methods
    assert np.median(relative_errors) < 0.005
    assert np.quantile(relative_errors, 0.95) < 0.01


def test_a_counter_that_is_renewed_each_millisecond_is_taken_at_the_marks():
    known = Sensor(power_limit_w=LIMIT_W, counter_period_s=0.001)

    relative_errors, methods = errors("blocks", 1.0, 10.0, known, counter_s=0.001)

    assert {Method.COUNTER_DIFFERENCE} == methods
    assert np.max(relative_errors) < 0.01


@pytest.mark.parametrize("curve", POWER_W)
@pytest.mark.parametrize("duration_s", [1.0, 5.0, 10.0])
@pytest.mark.parametrize("rate_hz", [10.0, 50.0])
def test_power_of_the_moment_is_within_its_bound(curve: str, duration_s: float, rate_hz: float):
    _, methods = errors(curve, duration_s, rate_hz, Sensor(power_limit_w=LIMIT_W), power_s=0.02)

    assert {Method.POWER_INSTANT} == methods


@pytest.mark.parametrize("curve", POWER_W)
@pytest.mark.parametrize("duration_s", [1.0, 5.0, 10.0])
def test_averaged_power_is_shifted_back_and_within_its_bound(curve: str, duration_s: float):
    known = Sensor(power_limit_w=LIMIT_W, power_average_s=1.0)

    relative_errors, methods = errors(curve, duration_s, 20.0, known, power_s=0.1)

    assert {Method.POWER_AVERAGE} == methods
    assert duration_s < 10.0 or np.median(relative_errors) < 0.01


def test_the_ends_of_a_region_count_in_full():
    """Only the samples inside, as some tools integrate, would lose a tenth of a second of power at each end."""
    at_s = np.arange(0.0, 10.0, 0.1) + 0.05
    used = energy.from_power(2.0, 3.0, reads(at_s, np.full(len(at_s), 100.0)), Sensor())

    assert used.joules == pytest.approx(100.0)
    assert used.bound_j == pytest.approx(0.0)


def test_a_counter_that_begins_anew_makes_no_negative_energy_but_leaves_it_to_power():
    at_s = moments_s(20.0, 1)
    joules = counter("sine", at_s, 0.1)
    reset = joules._replace(values=np.where(at_s > 10.0, joules.values - 1500.0, joules.values))
    power = sensor("sine", at_s, 0.1)

    assert energy.of_region(8.0, 12.0, reset, None, Sensor(power_limit_w=LIMIT_W), 0.5) is None
    used = energy.of_region(8.0, 12.0, reset, power, Sensor(power_limit_w=LIMIT_W), 0.5)
    assert used is not None
    assert Method.POWER_INSTANT is used.method


def test_a_counter_that_stands_still_says_nothing():
    at_s = moments_s(20.0, 1)

    assert energy.of_region(8.0, 12.0, reads(at_s, np.full(len(at_s), 5.0)), None, Sensor(), 0.5) is None


@pytest.mark.parametrize("lost", [(11.0, 40.0), (0.0, 9.0)])
def test_a_device_that_was_not_read_at_an_end_has_no_energy(lost: tuple[float, float]):
    at_s = moments_s(20.0, 1)
    seen_s = at_s[(at_s < lost[0]) | (at_s > lost[1])]
    known = Sensor(power_limit_w=LIMIT_W)

    for read in ((counter("sine", seen_s, 0.1), None), (None, sensor("sine", seen_s, 0.1))):
        assert energy.of_region(8.0, 12.0, *read, known, 0.15) is None


@pytest.mark.parametrize(("reset_s", "method"), [
    (0.5, Method.COUNTER_DIFFERENCE), (3.0, Method.POWER_INSTANT), (5.5, Method.COUNTER_DIFFERENCE),
])
def test_a_counter_that_begins_anew_outside_a_region_counts_in_it(reset_s: float, method: Method):
    at_s = np.arange(0.0, 6.0, 0.05)
    counted = energy.Reads(at_s, at_s, np.where(at_s < reset_s, 9000 + 100 * at_s, 100 * (at_s - reset_s)))
    power = energy.Reads(at_s, at_s, np.full(len(at_s), 100.0))

    used = energy.of_region(1.0, 5.0, counted, power, Sensor(power_limit_w=LIMIT_W), 0.5)

    assert used is not None
    assert (method, pytest.approx(400.0)) == (used.method, used.joules)
