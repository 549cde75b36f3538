"""Rent or buy, for equal work: from the bare hours of buyers' guides to those that one's own machine must work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rigmark.bench.buying import cost
from rigmark.bench.buying.offers.market import Energy, Market
from rigmark.bench.buying.pricing import money, quantity
from rigmark.bench.buying.quantity import Quantity, chance_in_words, of_another_unit, standing
from rigmark.bench.buying.rating import rate
from rigmark.bench.buying.terms import Candidate, Figure, Kind, Network, Rated, Workload
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.document.language import tr, tr_later

WEEKS_OF_A_YEAR = 365.25 / 7
EQUAL_WORK = tr_later("for equal work")
RESALE = tr_later("with resale")
MOST_OFFERS = 5              # against one machine for one workload; a catalogue has hundreds


@dataclass(frozen=True, kw_only=True)
class Hours:
    """To break even; infinite: never. ``low`` and ``high`` hold the middle 95 % of the draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """The hours once one more thing is counted."""

    name: str                            # as it stands in scripts; said by ``tr``
    hours: Hours
    words: str                           # with which numbers
    origin: Origin                       # the least certain of what entered


@dataclass(frozen=True, kw_only=True)
class RentOrBuy:
    build: Candidate
    offer: Candidate
    workload: Workload | None            # None: no workload is known for both, so hours are taken to be of equal speed
    own: Rated | None
    rented: Rated | None
    steps: tuple[Step, ...]              # the last counts everything that is known
    life_years: float | None
    power_w: float | None                # of the machine at the wall
    at_energy_prices: Mapping[str, float]    # money for a kWh, in words: hours
    hours_wanted: float | None           # of work over the machine's life, as the user says
    per_million: Mapping[str, float]     # money for a million samples, "rented" and "own"; what is known of them
    chance: float | None                 # that buying is cheaper at that; None: nothing was said, or too few trials
    standing: Standing
    words: tuple[str, ...]               # the answer, a sentence each

    @property
    def hours(self) -> Hours:
        return self.steps[-1].hours


def rent_or_buy(
    build: Candidate, offer: Candidate, workload: Workload | None, known: Sequence[Figure],
    networks: Mapping[str, Network], market: Market, hours_per_week: float | None = None,
) -> RentOrBuy | str:
    """One machine against one offer; a sentence where a price is missing."""
    assert build.build is not None
    assert offer.offer is not None
    for each in (build, offer):
        if each.money is None:
            return tr("no price given for {name}", name=each.id)
    own = rented = None
    if workload is not None:
        own, rented = (rate(each, workload, known, networks) for each in (build, offer))
        for side in (own, rented):
            if side.samples_per_s is None:
                return tr("{name}, {workload}: {reasons}", name=side.candidate.id, workload=workload.in_words,
                          reasons="; ".join(side.reasons))
    return _compared(build, offer, workload, own, rented, market, hours_per_week)


def rentals(
    candidates: Sequence[Candidate], workloads: Sequence[Workload], known: Sequence[Figure],
    networks: Mapping[str, Network], market: Market, hours_per_week: float | None = None,
) -> tuple[list[RentOrBuy], list[str]]:
    """Every machine against the cheapest offers for every workload, and what is lacking or left out.

    A machine of which no workload is known is held against offers as if an hour of each were the same.
    """
    found: list[RentOrBuy] = []
    lacking: dict[str, None] = {}
    offers = [each for each in candidates if each.kind is Kind.RENTED]
    for build in (each for each in candidates if each.kind is Kind.MACHINE):
        pairs: list[tuple[Candidate, Workload | None]] = []
        for workload in workloads:
            cheapest = _cheapest(offers, workload, known, networks)
            pairs += [(offer, workload) for offer in cheapest[:MOST_OFFERS]]
            if len(cheapest) > MOST_OFFERS:
                lacking[tr("of {all} offers the {n} cheapest for {workload} are shown", all=len(cheapest),
                           n=MOST_OFFERS, workload=workload.in_words)] = None
        answers = [
            rent_or_buy(build, offer, workload, known, networks, market, hours_per_week) for offer, workload in pairs
        ]
        if not any(isinstance(answer, RentOrBuy) for answer in answers):
            priced = sorted(offers, key=lambda each: math.inf if each.money is None else each.money.value)
            answers += [
                rent_or_buy(build, offer, None, known, networks, market, hours_per_week)
                for offer in priced[:MOST_OFFERS]
            ]
        found += [answer for answer in answers if isinstance(answer, RentOrBuy)]
        lacking |= {answer: None for answer in answers if isinstance(answer, str)}
    return found, list(lacking)


def _cheapest(
    offers: Sequence[Candidate], workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network]
) -> list[Candidate]:
    """Those whose price and throughput are known, the least for a sample first."""
    costs: list[tuple[float, Candidate]] = []
    for offer in offers:
        speed = rate(offer, workload, known, networks).samples_per_s
        if speed is not None and offer.money is not None:
            costs.append((offer.money.value / speed.value, offer))
    return [offer for _, offer in sorted(costs, key=lambda each: each[0])]


def machine_power_w(build: Candidate, own: Rated | None, market: Market) -> float | None:
    """At the wall, at work: measured power of the cards where there is one, else that on paper; None: not known."""
    assert build.build is not None
    cpu_w = _parts_w(build, market, "cpu")
    gpu_w = own.power_w if own is not None and own.power_w is not None else build.rated_w
    has_cards = any(market.parts[name].kind in ("gpu", "accelerator") for name in build.build.parts)
    devices = [gpu_w, cpu_w if has_cards else None, build.build.base_w]
    known = [watts for watts in devices if watts is not None]
    return cost.wall_power_w(known, market.energy.psu_efficiency) if gpu_w is not None else None


def _parts_w(build: Candidate, market: Market, kind: str) -> float | None:
    assert build.build is not None
    each = [(market.parts[name].tdp_w, count) for name, count in build.build.parts.items()
            if market.parts[name].kind == kind]
    return math.fsum((watts or 0.0) * count for watts, count in each) if any(watts for watts, _ in each) else None


@dataclass(frozen=True, kw_only=True)
class _Terms:
    """All that enters the formula, as draws and as values."""

    value: dict[str, Any]
    draws: dict[str, Any]

    def hours(self) -> Hours:
        drawn = cost.break_even_hours(**self.draws)
        low, high = (_quantile(drawn, share) for share in (0.025, 0.975))
        return Hours(value=float(cost.break_even_hours(**self.value)), low=low, high=high)

    def with_term(self, name: str, value: Any, draws: Any) -> _Terms:
        return _Terms(value={**self.value, name: value}, draws={**self.draws, name: draws})


def _quantile(values: Any, share: float) -> float:
    """Of values that may be infinite, between which nothing is to be averaged."""
    return float(np.quantile(np.asarray(values, float), share, method="inverted_cdf"))


def _compared(
    build: Candidate, offer: Candidate, workload: Workload | None, own: Rated | None, rented: Rated | None,
    market: Market, hours_per_week: float | None,
) -> RentOrBuy:
    price, hourly = build.money, offer.money
    assert price is not None
    assert hourly is not None
    assert build.build is not None
    currency = market.currency or ""
    terms = _Terms(
        value={"price": price.value, "rent_per_hour": hourly.value},
        draws={"price": price.draws(), "rent_per_hour": hourly.draws()},
    )
    origins = [price.origin, hourly.origin]
    steps = [_step(tr_later("bare hours"), terms, origins, tr(
        "{price} / {rent} an hour", price=_money(price, currency), rent=_money(hourly, currency)))]
    power_w = machine_power_w(build, own, market)
    energy = money(market.energy.price_per_kwh, "energy")
    life = build.build.life_years
    if energy is not None and power_w is not None:
        terms = _with_energy(terms, market.energy, energy, power_w, build)
        origins.append(energy.origin)
        lacking = "" if build.build.base_w is not None else \
            tr(" (without board, memory and disks: no base_w is given)")
        words = tr("{power:.0f} W at the wall{lacking}, {price} a kWh", power=power_w, lacking=lacking,
                   price=_money(energy, currency))
        steps.append(_step(tr_later("with energy"), terms, origins, words))
    terms, setup = _with_setup(terms, offer)
    if setup:
        steps.append(_step(tr_later("with setting up what is rented"), terms, origins, setup))
    if own is not None and rented is not None and own.samples_per_s is not None and rented.samples_per_s is not None:
        mine, theirs = own.samples_per_s, rented.samples_per_s
        terms = terms.with_term(
            "speed_ratio", mine.value / theirs.value,
            mine.draws() * of_another_unit(build.id) / (theirs.draws() * of_another_unit(offer.id)),
        )
        origins += [mine.origin, theirs.origin]
        steps.append(_step(EQUAL_WORK, terms, origins, tr(
            "{own} against {rented} rented", own=_speed(mine), rented=_speed(theirs))))
    if build.build.resale is not None:
        share = quantity(build.build.resale, f"resale of {build.id}")
        terms = terms.with_term("resale", price.value * share.value, price.draws() * np.minimum(share.draws(), 1.0))
        origins.append(share.origin)
        after = build.build.resale_after_years
        words = tr("{share} of its price", share=formatting.share(share.value)) + (
            tr(" after {years:g} years", years=after) if after else "")
        steps.append(_step(RESALE, terms, origins, words))
    wanted = None if hours_per_week is None or life is None else hours_per_week * WEEKS_OF_A_YEAR * life
    is_few = any(each is not None and each.is_few for each in (own, rented))
    chance = None if wanted is None or is_few else float(np.mean(cost.break_even_hours(**terms.draws) < wanted))
    found = steps[-1].hours
    stands = _standing(chance, is_few, workload, steps[-1].origin)
    return RentOrBuy(
        build=build, offer=offer, workload=workload, own=own, rented=rented, steps=tuple(steps), life_years=life,
        power_w=power_w, at_energy_prices=_at_energy_prices(terms, market.energy, energy, power_w, build, currency),
        hours_wanted=wanted, chance=chance, standing=stands, per_million=_per_million(terms, own, rented, life, wanted),
        words=tuple(_answer(build, offer, workload, steps, found, life, wanted, chance, own, rented)),
    )


def _with_energy(terms: _Terms, energy: Energy, price: Quantity, power_w: float, build: Candidate) -> _Terms:
    assert build.build is not None
    life = build.build.life_years
    terms = terms.with_term(
        "running_per_hour", cost.energy_cost_per_hour(power_w, price.value, energy.cooling_overhead),
        cost.energy_cost_per_hour(power_w, price.draws(), energy.cooling_overhead),
    )
    if build.build.idle_w and life is not None:
        terms = terms.with_term(
            "idle_per_hour", cost.energy_cost_per_hour(build.build.idle_w, price.value, energy.cooling_overhead),
            cost.energy_cost_per_hour(build.build.idle_w, price.draws(), energy.cooling_overhead),
        ).with_term("life_years", life, life)
    return terms


def _with_setup(terms: _Terms, offer: Candidate) -> tuple[_Terms, str]:
    assert offer.offer is not None
    of = offer.offer
    said = []
    if of.setup_hours_per_session and of.session_hours:
        said.append(tr("{setup:g} h before each {session:g} h of work", setup=of.setup_hours_per_session,
                       session=of.session_hours))
    if of.restart_loss:
        said.append(tr("{share} of the hours are done twice", share=formatting.share(of.restart_loss)))
    if not said:
        return terms, ""
    facts: dict[str, Any] = {"setup_hours": of.setup_hours_per_session, "session_hours": of.session_hours,
             "restart_loss": of.restart_loss}
    return terms.with_term(
        "rent_per_hour", cost.rent_per_hour_of_work(terms.value["rent_per_hour"], **facts),
        cost.rent_per_hour_of_work(terms.draws["rent_per_hour"], **facts),
    ), "; ".join(said)


LEAST_CERTAIN = (Origin.MEASURED, Origin.QUOTED, Origin.ENTERED, Origin.PREDICTED)


def _step(name: str, terms: _Terms, origins: Sequence[Origin], words: str) -> Step:
    return Step(name=name, hours=terms.hours(), words=words, origin=max(origins, key=LEAST_CERTAIN.index))


def _money(of: Quantity, currency: str) -> str:
    return f"{of.origin.mark} {formatting.money(of.value)} {currency}"


def _speed(of: Quantity) -> str:
    rate = formatting.significant(of.value) if of.low is None or of.high is None else tr(
        "{value} ({low} to {high})", value=formatting.significant(of.value), low=formatting.significant(of.low),
        high=formatting.significant(of.high))
    return tr("{mark} {rate} samples/s", mark=of.origin.mark, rate=rate)


def _at_energy_prices(
    terms: _Terms, energy: Energy, price: Quantity | None, power_w: float | None, build: Candidate, currency: str
) -> dict[str, float]:
    """Break-even hours at each price of electricity that is given."""
    if price is None or power_w is None:
        return {}
    found = {}
    for value in (price.low, price.value, price.high):
        if value is not None:
            at = _with_energy(terms, energy, replace(price, value=value, low=None, high=None), power_w, build)
            found[f"{formatting.money(value)} {currency}"] = float(cost.break_even_hours(**at.value))
    return found


def _per_million(
    terms: _Terms, own: Rated | None, rented: Rated | None, life: float | None, wanted: float | None
) -> dict[str, float]:
    """Money for a million samples: rented, and of one's own at the hours that are wanted."""
    of, found = terms.value, {}
    if rented is not None and rented.samples_per_s is not None:
        found[tr_later("rented")] = float(cost.cost_per_million(of["rent_per_hour"], rented.samples_per_s.value))
    if own is not None and own.samples_per_s is not None and life is not None and wanted is not None:
        per_hour = cost.cost_per_hour_of_use(
            of["price"], of.get("resale", 0.0), life_years=life, busy_share=min(cost.busy_share(wanted, life), 1.0),
            running_per_hour=of.get("running_per_hour", 0.0), idle_per_hour=of.get("idle_per_hour", 0.0),
        )
        found[tr_later("own")] = float(cost.cost_per_million(per_hour, own.samples_per_s.value))
    return found


def _standing(chance: float | None, is_few: bool, workload: Workload | None, origin: Origin) -> Standing:
    if is_few:
        return Standing.FEW
    if chance is None:
        return Standing.DEPENDS
    if workload is None:
        return Standing.OPEN
    return standing(max(chance, 1 - chance), is_predicted=origin is Origin.PREDICTED)


def _answer(
    build: Candidate, offer: Candidate, workload: Workload | None, steps: Sequence[Step], found: Hours,
    life: float | None, wanted: float | None, chance: float | None, own: Rated | None, rented: Rated | None,
) -> list[str]:
    said = []
    bare = steps[0].hours
    if math.isinf(found.value):
        said.append(tr("Renting {offer} is always cheaper: what {build} draws costs more than the rent of equal work.",
                       offer=offer.id, build=build.id))
    else:
        work = "" if workload is None else tr(" for equal work")
        if any(step.name == RESALE for step in steps):
            work += tr(", its resale counted")
        said.append(tr("{build} pays from {hours} of its own work on, against {offer}{work}.", build=build.id,
                       hours=hours_in_words(found), offer=offer.id, work=work))
    if life is not None and math.isfinite(found.value):
        share = cost.busy_share(found.value, life)
        weekly = found.value / (life * WEEKS_OF_A_YEAR)
        late = "" if share <= 1 else tr(", which is more than there are, so it never pays")
        said.append(tr("That is {share} of the hours of its {years:g} years, {hours} h a week{late}.",
                       share=formatting.share(share), years=life, hours=formatting.significant(weekly, 2), late=late))
    times = found.value / bare.value
    if workload is not None and math.isfinite(times):
        equal = next((step for step in steps if step.name == EQUAL_WORK), None)
        more = "" if equal is None else tr(
            "; equal work alone makes it {hours}, {times} that", hours=hours_in_words(equal.hours),
            times=formatting.times(equal.hours.value / bare.value, 2))
        said.append(tr("Price over rent alone, as buyers' guides reckon, would say {hours}{more}.",
                       hours=hours_in_words(bare), more=more))
    elif workload is None:
        said.append(tr("No workload is known for both, so an hour of the one is taken for an hour of the other: enter "
                       "a [[throughput]] of each, since this may be off by several times."))
    if wanted is not None and chance is not None:
        cheaper = tr("buying") if chance >= 0.5 else tr("renting")
        said.append(tr("At the {hours} h of work that you want, {cheaper} is cheaper with a chance of {chance}.",
                       hours=formatting.number(wanted, 0), cheaper=cheaper,
                       chance=chance_in_words(max(chance, 1 - chance))))
    elif wanted is None:
        said.append(tr("Whether to buy depends on how much you compute: --hours-per-week gives the chance, and "
                       "what a million samples of one's own cost."))
    predicted = [each.candidate.id for each in (own, rented) if each is not None and each.origin is Origin.PREDICTED]
    if predicted:
        said.append(tr("The throughput of {names} is {mark} predicted, so this is never clear: measure before you buy.",
                       names=formatting.listed(predicted), mark=Origin.PREDICTED.mark))
    return said


def hours_in_words(hours: Hours) -> str:
    """"1,360 h (950 to 2,000)"; its interval where it has one."""
    if math.isinf(hours.value):
        return tr("never")
    if math.isclose(hours.low, hours.high, rel_tol=1e-3):
        return f"{formatting.significant(hours.value, 4)} h"
    if math.isinf(hours.high):
        return tr("{value} h ({low} to never)", value=formatting.significant(hours.value),
                  low=formatting.significant(hours.low, 2))
    middle, low, high = formatting.digits(hours.value, hours.low, hours.high)
    return tr("{value} h ({low} to {high})", value=middle, low=low, high=high)
