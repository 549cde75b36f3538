"""Formulas for the cost of computing, each with its source, for numbers or for arrays of draws.

Owning costs straight-line depreciation plus energy; docs/buy.md has all formulas with a worked example.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

HOURS_OF_A_YEAR = 8760.0
MILLION = 1e6
SECONDS_OF_AN_HOUR = 3600.0
Number = Any                 # a float, or an array of draws


def wall_power_w(device_powers_w: Iterable[float], psu_efficiency: float) -> float:
    """Power at the wall in W for devices that draw this much together."""
    return math.fsum(device_powers_w) / psu_efficiency


def energy_cost_per_hour(power_w: Number, price_per_kwh: Number, overhead: float = 1.0) -> Number:
    """Cost of energy per hour; ``overhead`` is facility power over IT power (PUE, ISO/IEC 30134-2)."""
    return power_w / 1000 * price_per_kwh * overhead


def cost_per_hour_of_use(
    price: Number, resale: Number, *, life_years: float, busy_share: float, running_per_hour: Number,
    idle_per_hour: Number = 0.0,
) -> Number:
    """Cost per working hour: depreciation per hour of use, energy, and the energy of the idle hours."""
    depreciation = (price - resale) / (HOURS_OF_A_YEAR * life_years * busy_share)
    return depreciation + running_per_hour + idle_per_hour * (1 - busy_share) / busy_share


def cost_per_million(cost_per_hour: Number, samples_per_s: Number) -> Number:
    """Cost per million samples."""
    return cost_per_hour * MILLION / (SECONDS_OF_AN_HOUR * samples_per_s)


def rent_per_hour_of_work(
    rate: Number, *, setup_hours: float = 0.0, session_hours: float | None = None, restart_loss: float = 0.0
) -> Number:
    """Cost of an hour of work if setting up is paid too, and a share ``restart_loss`` of the work is done twice."""
    setup = setup_hours / session_hours if session_hours else 0.0
    return rate * (1 + setup) / (1 - restart_loss)


def break_even_hours(
    price: Number, rent_per_hour: Number, *, resale: Number = 0.0, speed_ratio: Number = 1.0,
    running_per_hour: Number = 0.0, idle_per_hour: Number = 0.0, life_years: float = 0.0,
) -> Number:
    """Hours that one's own machine must work until the same work would have cost as much rented; infinite: never.

    ``speed_ratio`` is own throughput / rented throughput: the rented hours that do the work of one own hour. It solves
    price - resale + H running + (life - H) idle = H speed_ratio rent. The simple rule of buyers' guides, price / rent,
    is the case of equal speed and free energy.
    """
    saved = rent_per_hour * speed_ratio - running_per_hour + idle_per_hour
    paid = price - resale + HOURS_OF_A_YEAR * life_years * idle_per_hour
    saved, paid = np.broadcast_arrays(np.asarray(saved, float), np.asarray(paid, float))
    hours = np.full(saved.shape, math.inf)
    np.divide(paid, saved, out=hours, where=saved > 0)
    return hours if hours.ndim else float(hours)


def busy_share(hours: Number, life_years: float) -> Number:
    """These hours as a share of all hours of the machine's life; above 1: more than there are."""
    return hours / (HOURS_OF_A_YEAR * life_years)


def pareto_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """For each point, whether no other is at least as good in all dimensions and better in one; more is better."""
    table = np.asarray(points, float)
    return [
        not any(np.all(other >= own) and np.any(other > own) for other in table) for own in table
    ]


# Several devices ------------------------------------------------------------------------------------------------------


def ring_time_s(gradient_bytes: float, devices: int, link_bytes_per_s: float) -> float:
    """Least time of a ring all-reduce: 2 (n - 1) / n of the bytes leave each device (Patarasuk and Yuan 2009)."""
    return 2 * (devices - 1) / devices * gradient_bytes / link_bytes_per_s


def scaled_speed_up(
    devices: int, *, step_time_s: float, communication_s: float, hidden_share: float, backward_share: float = 2 / 3,
    input_time_s: float = 0.0,
) -> float:
    """Speed-up of n devices over one with the same local batch; communication overlaps with the backward pass.

    n t / (max(t, t_input) + max(0, t_comm - hidden x t_backward)); backward takes twice the FLOPs of forward.
    """
    exposed_s = max(0.0, communication_s - hidden_share * backward_share * step_time_s)
    return devices * step_time_s / (max(step_time_s, input_time_s) + exposed_s)
