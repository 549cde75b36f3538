"""Rent or buy, term by term: what is counted, what is left out and why, and how robust the answer is.

Every possible term is either counted or listed as left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from rigmark.bench.buying import cost, power
from rigmark.bench.buying.offers.market import Build, Market, Range
from rigmark.bench.buying.power import WallPower
from rigmark.bench.buying.pricing import money, quantity, restarts_and_setup
from rigmark.bench.buying.quantity import Draws, Quantity, of_another_unit
from rigmark.bench.buying.terms import Candidate, Rated
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, tr_later

WEEKS_OF_A_YEAR = 365.25 / 7
BARE = tr_later("bare hours")
ENERGY = tr_later("with energy")
IDLE = tr_later("with idle energy")
SETUP = tr_later("with setting up the rented machine")
EQUAL_WORK = tr_later("for equal work")
RESALE = tr_later("with resale")
LEAST_CERTAIN = (Origin.MEASURED, Origin.QUOTED, Origin.ENTERED, Origin.PREDICTED)


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Hours to break even; infinite: never. The middle 95 % of the draws lie from ``low`` to ``high``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """The hours to break even after one more term is counted."""

    name: str                            # the name for scripts; translated by ``tr`` for people
    hours: Hours
    words: str                           # the numbers of the term in words
    origin: Origin                       # the least certain origin of its numbers


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A term that is not counted."""

    name: str                            # the name for scripts; translated by ``tr`` for people
    reason: str
    holds: str                           # up to which value of it the answer is right; empty: it cannot reverse it

    @property
    def words(self) -> str:
        return tr("{term}: {reason}", term=tr(self.name), reason=self.reason) + (
            tr("; {holds}", holds=self.holds) if self.holds else "")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """All terms of the formula, as draws and as values."""

    value: Mapping[str, Any]
    draws: Mapping[str, Any]

    def hours(self) -> Hours:
        drawn = cost.break_even_hours(**self.draws)
        low, high = (_quantile(drawn, share) for share in (0.025, 0.975))
        return Hours(value=float(cost.break_even_hours(**self.value)), low=low, high=high)

    def with_term(self, name: str, value: Any, draws: Any) -> Terms:
        return Terms(value={**self.value, name: value}, draws={**self.draws, name: draws})

    def saved_per_hour(self) -> float:
        """Money saved per hour of own work, without the price of the machine; negative if it costs more."""
        of = self.value
        return float(of["rent_per_hour"] * of.get("speed_ratio", 1.0) - of.get("running_per_hour", 0.0)
                     + of.get("idle_per_hour", 0.0))

    def paid(self) -> float:
        """The cost of the machine, with the energy of its idle hours if it never worked."""
        of = self.value
        idle = cost.HOURS_OF_A_YEAR * of.get("life_years", 0.0) * of.get("idle_per_hour", 0.0)
        return float(of["price"] - of.get("resale", 0.0) + idle)


def _quantile(values: Any, share: float) -> float:
    """A quantile of values that may be infinite, so that it never interpolates."""
    return float(np.quantile(np.asarray(values, float), share, method="inverted_cdf"))


class _Missing(Enum):
    """The effect of a term that is left out."""

    RUNNING = 1                  # an own hour would cost more
    PART = 2                     # the same, for a part of the power
    IDLE = 3                     # idle hours would cost more
    SETUP = 4                    # a rented hour would cost more
    SPEED = 5                    # either of these
    RESALE = 6                   # the machine would cost less


MOST_W = {_Missing.RUNNING: 5000.0, _Missing.PART: 500.0, _Missing.IDLE: 300.0}
"""Power at the wall, beyond which it is not mentioned that the answer would change: no desk has so much."""
LEAST_RATIO = 0.1            # least plausible speed relative to the rented machine
MOST_RESALE = 0.8            # share of the price that no machine is worth at the end of its life
MOST_SETUP = 0.5             # share of the rent that setting up never adds


@dataclass(kw_only=True)
class Reckoning:
    """One machine compared with one offer; ``steps`` are the counted terms, each added to those before it."""

    build: Candidate
    offer: Candidate
    market: Market
    hours_wanted: float | None
    terms: Terms
    power: WallPower
    origins: list[Origin]
    steps: list[Step] = field(default_factory=list)
    _missing: list[tuple[str, str, _Missing]] = field(default_factory=list)

    def count(self, name: str, words: str, *origins: Origin, terms: Mapping[str, tuple[Any, Any]]) -> None:
        for key, (value, draws) in terms.items():
            self.terms = self.terms.with_term(key, value, draws)
        self.origins += origins
        self.steps.append(Step(
            name=name, hours=self.terms.hours(), words=words, origin=max(self.origins, key=LEAST_CERTAIN.index)))

    def leave_out(self, name: str, reason: str, missing: _Missing) -> None:
        self._missing.append((name, reason, missing))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The terms that are left out. Read it after all terms are counted, since robustness depends on the others."""
        return tuple(LeftOut(name=name, reason=reason, holds=self._holds(missing))
                     for name, reason, missing in self._missing)

    def _holds(self, missing: _Missing) -> str:
        if missing is _Missing.SPEED:
            return self._holds_for_speed()
        if missing in MOST_W:
            return self._holds_for_costs(missing)
        return self._holds_for_renting(missing)

    def _holds_for_costs(self, missing: _Missing) -> str:
        """For a term that makes owning more expensive; "" if renting is cheaper even without it."""
        saved = self.terms.saved_per_hour()
        if self.hours_wanted is None:
            limit = "" if saved <= 0 or missing is _Missing.IDLE else self._as_power(saved, missing)
            return tr("with more than {limit} of it buying never pays", limit=limit) if limit else ""
        spare = saved * self.hours_wanted - self.terms.paid()
        life = self.build.build.life_years if self.build.build is not None else None
        hours = cost.HOURS_OF_A_YEAR * (life or 0.0) - self.hours_wanted if missing is _Missing.IDLE \
            else self.hours_wanted
        limit = self._as_power(spare / hours, missing) if spare > 0 and hours > 0 else ""
        return tr("buying is cheaper with less than {limit} of it", limit=limit) if limit else ""

    def _as_power(self, money_per_hour: float, missing: _Missing) -> str:
        """A cost in the unit of the unknown: watts, the price of a kWh, or money; "" if no machine draws so much."""
        energy, currency = self.market.energy, self.market.currency or ""
        price = money(energy.price_per_kwh, "energy")
        if price is not None and price.value:
            watts = 1e3 * money_per_hour / (price.value * energy.cooling_overhead)
            return tr("{watts} W at the wall", watts=formatting.significant(watts)) if watts < MOST_W[missing] else ""
        if missing is _Missing.RUNNING and self.power.watts is not None:
            per_kwh = money_per_hour / (self.power.watts / 1e3 * energy.cooling_overhead)
            return tr("{price} {currency} per kWh", price=formatting.significant(per_kwh), currency=currency)
        return tr("{price} {currency} per hour", price=formatting.significant(money_per_hour), currency=currency)

    def _holds_for_renting(self, missing: _Missing) -> str:
        """For a term that makes renting more expensive or owning cheaper; "" if buying is cheaper anyway."""
        if self.hours_wanted is None:
            return ""
        spare = self.terms.paid() - self.terms.saved_per_hour() * self.hours_wanted
        price = float(self.terms.value["price"])
        rent = float(self.terms.value["rent_per_hour"] * self.terms.value.get("speed_ratio", 1.0)) * self.hours_wanted
        most = MOST_RESALE * price if missing is _Missing.RESALE else MOST_SETUP * rent
        if not 0 < spare < most:
            return ""
        if missing is _Missing.RESALE:
            return tr("renting is cheaper unless it sells for more than {share} of its price",
                      share=formatting.share(spare / price))
        return tr("renting is cheaper unless that adds more than {share} to the rent",
                  share=formatting.share(spare / rent))

    def _holds_for_speed(self) -> str:
        of = self.terms.value
        running = of.get("running_per_hour", 0.0) - of.get("idle_per_hour", 0.0)
        if self.hours_wanted is None:
            never = running / of["rent_per_hour"] if of["rent_per_hour"] else 0.0
            return "" if never < LEAST_RATIO else tr(
                "it never pays unless an hour of {build} does more than {ratio} the work of an hour of {offer}",
                build=self.build.id, offer=self.offer.id, ratio=formatting.times(never, 2))
        ratio = (self.terms.paid() / self.hours_wanted + running) / of["rent_per_hour"]
        return tr("buying is cheaper if an hour of {build} does more than {ratio} the work of an hour of {offer}, "
                  "otherwise renting", build=self.build.id, offer=self.offer.id,
                  ratio=formatting.times(ratio, 2))

    # By what was asked ------------------------------------------------------------------------------------------------

    def at_energy_prices(self) -> dict[str, float]:
        """Hours to break even at each stated price of electricity."""
        price, watts = money(self.market.energy.price_per_kwh, "energy"), self.power.watts
        if price is None or watts is None:
            return {}
        values = {}
        for value in (price.low, price.value, price.high):
            if value is None:
                continue
            terms, at = self.terms, replace(price, value=value, low=None, high=None)
            for key, power_w in (("running_per_hour", watts), ("idle_per_hour", self._idle_w())):
                if key in terms.value:
                    terms = terms.with_term(key, *self._energy(at, power_w))
            values[f"{formatting.money(value)} {self.market.currency or ''}"] = float(
                cost.break_even_hours(**terms.value))
        return values

    def _idle_w(self) -> float:
        return (self.build.build.idle_w if self.build.build is not None else None) or 0.0

    def _energy(self, price: Quantity, power_w: float) -> tuple[float, Draws]:
        overhead = self.market.energy.cooling_overhead
        return (cost.energy_cost_per_hour(power_w, price.value, overhead),
                cost.energy_cost_per_hour(power_w, price.draws(), overhead))

    # The terms --------------------------------------------------------------------------------------------------------

    def electricity(self) -> None:
        price, currency = money(self.market.energy.price_per_kwh, "energy"), self.market.currency or ""
        watts, lacking = self.power.watts, formatting.listed(self.power.lacking)
        if watts is None or price is None:
            reasons = [tr("the power of {names} is not known", names=lacking)] if watts is None else []
            reasons += [tr("no price per kWh is given")] if price is None else []
            self.leave_out(tr_later("electricity"), "; ".join(reasons), _Missing.RUNNING)
            return
        self.count(ENERGY, tr("{power:.0f} W at the wall, {price} per kWh", power=watts, price=priced(price, currency)),
                   price.origin, terms={"running_per_hour": self._energy(price, watts)})
        if lacking:
            self.leave_out(tr_later("electricity of a part"), tr("the power of {names} is not known", names=lacking),
                           _Missing.PART)

    def idle(self, build: Build) -> None:
        price, name = money(self.market.energy.price_per_kwh, "energy"), tr_later("electricity when idle")
        if build.idle_w is None:
            self.leave_out(name, tr("no idle_w is given, so it is assumed to be switched off then"), _Missing.IDLE)
        elif build.idle_w and price is None:
            self.leave_out(name, tr("no price per kWh is given"), _Missing.IDLE)
        elif build.idle_w and build.life_years is None:
            self.leave_out(name, tr("no life_years are given, so its idle time is not known"), _Missing.IDLE)
        elif build.idle_w and price is not None:
            text = tr("{power:.0f} W in all idle hours of its {years:g} years", power=build.idle_w,
                      years=build.life_years)
            life = (build.life_years, build.life_years)
            self.count(IDLE, text, price.origin,
                       terms={"idle_per_hour": self._energy(price, build.idle_w), "life_years": life})

    def setting_up(self) -> None:
        assert self.offer.offer is not None
        facts, words, lacking = restarts_and_setup(self.offer.offer)
        if words:
            rents = (self.terms.value["rent_per_hour"], self.terms.draws["rent_per_hour"])
            value, draws = (cost.rent_per_hour_of_work(rent, **facts) for rent in rents)
            self.count(SETUP, words, terms={"rent_per_hour": (value, draws)})
        if lacking:
            self.leave_out(tr_later("setting up the rented machine"), lacking, _Missing.SETUP)

    def speed(self, own: Rated | None, rented: Rated | None) -> None:
        if is_alike(self.build, self.offer):
            units = of_another_unit(self.build.id) / of_another_unit(self.offer.id)
            self.count(EQUAL_WORK, tr("both compute with {n} x {device}, so an hour of each does the same work",
                                      n=self.build.devices, device=self.build.device.name if self.build.device else ""),
                       terms={"speed_ratio": (1.0, units)})
            return
        mine = None if own is None else own.samples_per_s
        theirs = None if rented is None else rented.samples_per_s
        if mine is None or theirs is None:
            self.leave_out(tr_later("speed"), tr(
                "no workload is known for both, so an hour of each is assumed to do the same work"),
                _Missing.SPEED)
            return
        assert own is not None
        assert rented is not None
        self.count(EQUAL_WORK, tr("{own} against {rented} rented", own=_speed(mine, own.unit),
                                  rented=_speed(theirs, rented.unit)),
                   mine.origin, theirs.origin,
                   terms={"speed_ratio": (mine.value / theirs.value, own.draws() / rented.draws())})

    def resale(self, build: Build) -> None:
        if build.resale is None:
            self.leave_out(tr_later("resale"), tr("no resale is given, so it is assumed to be worth nothing in the "
                                                  "end"),
                           _Missing.RESALE)
            return
        of = quantity(build.resale, f"resale of {build.id}")
        share, draws, words = resale_in_the_end(of, build.resale, build)
        price, prices = self.terms.value["price"], self.terms.draws["price"]
        self.count(RESALE, words, of.origin, terms={"resale": (price * share, prices * draws)})


def is_alike(build: Candidate, offer: Candidate) -> bool:
    """Whether both have the same devices, so that an hour of each does the same work."""
    return (build.device is not None and offer.device is not None and build.device.id == offer.device.id
            and build.devices == offer.devices)


def resale_in_the_end(of: Quantity, resale: Range, build: Build) -> tuple[float, Draws, str]:
    """The resale value of a machine at the end of its life as a share of its price, its draws, and its basis in words.

    A share that is stated for another age is converted, assuming the same relative loss every year.
    """
    after, life, draws = build.resale_after_years, build.life_years, np.minimum(of.draws(), 1.0)
    text = tr("{share} of its price", share=formatting.share(resale.value))
    if after:
        text += tr(" after {years:g} years", years=after)
    if not after or life is None or math.isclose(after, life) or not resale.value:
        return resale.value, draws, text
    share = resale.value ** (life / after)
    return share, draws ** (life / after), text + tr(
        ", so {share} after its {years:g}, at the same loss each year", share=formatting.share(share), years=life)


def reckoned(
    build: Candidate, offer: Candidate, own: Rated | None, rented: Rated | None, market: Market,
    hours_per_week: float | None,
) -> Reckoning:
    """All terms of one machine and one offer, both of which have a price."""
    price, hourly, machine = build.money, offer.money, build.build
    assert price is not None
    assert hourly is not None
    assert machine is not None
    wanted = None if hours_per_week is None or machine.life_years is None else \
        hours_per_week * WEEKS_OF_A_YEAR * machine.life_years
    reckoning = Reckoning(
        build=build, offer=offer, market=market, hours_wanted=wanted, origins=[],
        power=power.of_machine(build, own, market), terms=Terms(value={}, draws={}),
    )
    currency = market.currency or ""
    text = tr("{price} / {rent} per hour", price=priced(price, currency), rent=priced(hourly, currency))
    reckoning.count(BARE, text, price.origin, hourly.origin, terms={
        "price": (price.value, price.draws()), "rent_per_hour": (hourly.value, hourly.draws())})
    reckoning.electricity()
    reckoning.idle(machine)
    reckoning.setting_up()
    reckoning.speed(own, rented)
    reckoning.resale(machine)
    return reckoning


def priced(of: Quantity, currency: str) -> str:
    return f"{of.origin.mark} {formatting.money(of.value)} {currency}"


def _speed(of: Quantity, unit: str) -> str:
    rate = formatting.significant(of.value) if of.low is None or of.high is None else tr(
        "{value} ({low} to {high})", value=formatting.significant(of.value), low=formatting.significant(of.low),
        high=formatting.significant(of.high))
    return tr("{mark} {rate} {unit}", mark=of.origin.mark, rate=rate, unit=unit)


def answers(steps: Sequence[Step], name: str) -> Step | None:
    """The step with this name; None if it was not counted."""
    return next((step for step in steps if step.name == name), None)
