"""Each formula of what computing costs, against a sum done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rigmark.bench.buying import cost
from rigmark.bench.buying.quantity import Quantity, chances_of_most, spread, standing
from rigmark.bench.document.document import Origin, Standing

DOCUMENT = {"price": 16_904.0, "rent_per_hour": 7.2 * 6.7}
"""A box of 16,904 yuan against 7.2 dollars an hour, at 6.7 yuan a dollar."""


def test_the_bare_hours_of_the_document_are_price_over_rent():
    assert 350.4 == pytest.approx(cost.break_even_hours(**DOCUMENT), abs=0.05)       # 16,904 / 48.24


def test_energy_resale_and_speed_each_move_the_break_even():
    running = cost.energy_cost_per_hour(400.0, 0.6)                                   # 0.4 kW x 0.6

    assert 0.24 == pytest.approx(running)
    assert 352.2 == pytest.approx(cost.break_even_hours(**DOCUMENT, running_per_hour=running), abs=0.05)
    assert 228.9 == pytest.approx(
        cost.break_even_hours(**DOCUMENT, running_per_hour=running, resale=0.35 * 16_904), abs=0.05)
    # 107 of 384 samples/s: an own hour does 0.2786 of a rented one; 16,904 / (48.24 x 0.2786 - 0.24) = 1,280.6.
    assert 1_281 == pytest.approx(
        cost.break_even_hours(**DOCUMENT, running_per_hour=running, speed_ratio=107 / 384), abs=1)


def test_idle_hours_cost_too():
    # 100 money; 1 an hour rented, 0.2 running, 0.1 idle, a life of 8,760 h: (100 + 876) / (1 - 0.2 + 0.1).
    assert 976 / 0.9 == pytest.approx(cost.break_even_hours(
        100.0, 1.0, running_per_hour=0.2, idle_per_hour=0.1, life_years=1.0))


def test_where_energy_costs_more_than_rent_renting_is_always_cheaper():
    assert math.inf == cost.break_even_hours(100.0, 0.2, running_per_hour=0.2)
    assert [200.0, math.inf] == list(cost.break_even_hours(100.0, np.array([0.6, 0.1]), running_per_hour=0.1))


def test_power_at_the_wall_and_its_price():
    assert 400 == pytest.approx(cost.wall_power_w([140, 150, 70], 0.9))               # 360 / 0.9
    assert 0.36 == pytest.approx(cost.energy_cost_per_hour(400, 0.6, overhead=1.5))


def test_an_hour_of_use_carries_its_share_of_the_price_and_of_the_idle_hours():
    # (8,760 - 0) over half of one year's 8,760 hours is 2 an hour; one idle hour for each that works.
    per_hour = cost.cost_per_hour_of_use(
        8_760.0, 0.0, life_years=1.0, busy_share=0.5, running_per_hour=0.3, idle_per_hour=0.1)

    assert 2.4 == pytest.approx(per_hour)
    assert 6.6667 == pytest.approx(cost.cost_per_million(per_hour, 100.0), abs=1e-4)  # 360,000 samples an hour


def test_setting_up_and_lost_work_make_a_rented_hour_dearer():
    assert 1.25 * 2 / 0.8 == pytest.approx(
        cost.rent_per_hour_of_work(2.0, setup_hours=0.5, session_hours=2.0, restart_loss=0.2))
    assert 2.0 == cost.rent_per_hour_of_work(2.0, setup_hours=0.5)                    # sessions of unknown length


def test_share_of_a_life():
    assert 0.05 == pytest.approx(cost.busy_share(1_314, 3.0))                         # of 26,280 hours


def test_the_front_holds_what_nobody_beats_in_everything():
    cheap, fast, beaten, twin = (-1.0, 5.0), (-3.0, 9.0), (-3.0, 8.0), (-1.0, 5.0)

    assert [True, True, False, True] == cost.pareto_front([cheap, fast, beaten, twin])


def test_two_devices_send_the_gradients_once_around():
    # 100 MB on 10 GB/s: 2 x (2 - 1) / 2 of them in 10 ms; on eight devices 1.75 of them.
    assert 0.010 == pytest.approx(cost.ring_time_s(100e6, 2, 10e9))
    assert 0.0175 == pytest.approx(cost.ring_time_s(100e6, 8, 10e9))


@pytest.mark.parametrize(
    ("hidden", "speed_up"),
    [
        (0.0, 2 * 0.09 / 0.12),          # 30 ms after a step of 90
        (1.0, 2.0),                      # the backward pass of 60 ms hides all of it
        (0.25, 2 * 0.09 / 0.105),        # and a quarter of it hides 15 ms
    ],
)
def test_what_of_the_sending_is_not_hidden_is_lost(hidden: float, speed_up: float):
    assert speed_up == pytest.approx(
        cost.scaled_speed_up(2, step_time_s=0.09, communication_s=0.03, hidden_share=hidden))


def test_input_that_is_too_slow_for_two_devices_holds_them_up():
    """AlexNet on real data, TensorFlow 2017: two GPUs gave 1.54x of one."""
    assert 1.54 == pytest.approx(cost.scaled_speed_up(
        2, step_time_s=0.177, communication_s=0.0, hidden_share=1.0, input_time_s=0.23), abs=0.005)


# Doubt ----------------------------------------------------------------------------------------------------------------


def of(name: str, value: float, ratio: float | None = None, level: float = 0.95) -> Quantity:
    ends = {} if ratio is None else {"low": value / ratio, "high": value * ratio}
    return Quantity(name=name, value=value, origin=Origin.MEASURED, level=level, **ends)


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_draws_spread_as_far_as_the_quantity(level: float):
    draws = of("speed", 100, 1.2, level).draws()

    inside = np.mean((draws > 100 / 1.2) & (draws < 100 * 1.2))
    assert level == pytest.approx(inside, abs=0.015)
    assert 100 == pytest.approx(np.median(draws), rel=0.01)


def test_the_ratio_of_two_doubts_is_wider_than_either():
    """In logarithms squares add: 10 % and 10 % make 14 %."""
    ratio = of("speed", 100, 1.1).draws() / of("price", 10, 1.1).draws()

    result = spread(10, ratio)
    assert 10 * 1.1**math.sqrt(2) == pytest.approx(result.high, rel=0.01)
    assert 10 / 1.1**math.sqrt(2) == pytest.approx(result.low, rel=0.01)


def test_one_quantity_on_both_sides_cancels():
    """The price of energy is the same for both machines, however uncertain."""
    energy = of("energy", 0.6, 3.0)

    assert [1.0, 0.0] == chances_of_most([2 * energy.draws(), energy.draws()])


def test_equal_candidates_share_the_probability_of_being_best():
    same = chances_of_most([of("a", 1.0).draws(), of("b", 1.0).draws()])
    apart = chances_of_most([of("a", 1.2, 1.05).draws(), of("b", 1.0, 1.05).draws()])

    assert [0.5, 0.5] == same
    assert apart[0] > 0.99


def test_words_follow_the_chance_and_a_prediction_is_never_clear():
    assert [Standing.CLEAR, Standing.LIKELY, Standing.OPEN] == [
        standing(chance, is_predicted=False) for chance in (0.95, 0.8, 0.79)]
    assert Standing.LIKELY == standing(0.999, is_predicted=True)
