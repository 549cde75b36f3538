"""Rent or buy, for equal work: the hours that one's own machine must work until it pays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rigmark.bench.buying import cost
from rigmark.bench.buying.family import Ratings
from rigmark.bench.buying.offers.market import Market
from rigmark.bench.buying.pricing import hour_of_work
from rigmark.bench.buying.quantity import LIKELY, chance_in_words, standing
from rigmark.bench.buying.reckoning import (
    EQUAL_WORK,
    RESALE,
    WEEKS_OF_A_YEAR,
    Hours,
    LeftOut,
    Reckoning,
    Step,
    Terms,
    answers,
    is_alike,
    reckoned,
)
from rigmark.bench.buying.terms import Candidate, Kind, Rated, Work, Workload
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin, Standing
from rigmark.bench.document.language import tr, tr_later

MOST_OFFERS = 5              # that are compared with a machine per workload; a catalogue has hundreds


@dataclass(frozen=True, kw_only=True)
class RentOrBuy:
    build: Candidate
    offer: Candidate
    workload: Work | None                # None: no workload is known for both, so equal speed is assumed
    own: Rated | None
    rented: Rated | None
    steps: tuple[Step, ...]              # the last one includes everything that is known
    left_out: tuple[LeftOut, ...]        # the terms that are not counted
    life_years: float | None
    power_w: float | None                # power of the machine at the wall, as far as known
    at_energy_prices: Mapping[str, float]    # price of a kWh in words -> hours
    hours_wanted: float | None           # hours of work over the machine's life that the user wants
    per_million: Mapping[str, float]     # cost per million samples, "rented" and "own", as far as known
    chance: float | None                 # that buying is cheaper for these; None: not asked, or too few trials
    standing: Standing
    words: tuple[str, ...]               # the answer in sentences

    @property
    def hours(self) -> Hours:
        return self.steps[-1].hours


def rent_or_buy(
    build: Candidate, offer: Candidate, work: Work | None, ratings: Ratings, market: Market,
    hours_per_week: float | None = None, failed: Mapping[str, str] | None = None,
) -> RentOrBuy | str:
    """The comparison of one machine with one offer; a sentence if a price or a throughput is missing."""
    assert build.build is not None
    assert offer.offer is not None
    for each in (build, offer):
        if each.money is None:
            return tr("no price given for {name}", name=each.id)
    own = rented = None
    if work is not None:
        own, rented = ratings[build.id], ratings[offer.id]
        for side in (own, rented):
            if side.samples_per_s is None:
                return tr("{name}, {workload}: {reasons}", name=side.candidate.id, workload=work.in_words,
                          reasons="; ".join(side.reasons))
    of = reckoned(build, offer, own, rented, market, hours_per_week)
    return _compared(work, own, rented, of, hours_per_week, (failed or {}).get(build.id))


def rentals(
    candidates: Sequence[Candidate], rated: Mapping[Work, Ratings], market: Market,
    hours_per_week: float | None = None, failed: Mapping[str, str] | None = None,
) -> tuple[list[RentOrBuy], list[str]]:
    """The comparisons of every machine with the cheapest offers for every workload, and what is missing or left out.

    ``failed`` states what is insufficient in a machine. For a machine without a known workload, an hour of it is
    assumed to do the same work as an hour of each offer.
    """
    decisions: list[RentOrBuy] = []
    lacking: dict[str, None] = {}
    offers = [each for each in candidates if each.kind is Kind.RENTED]
    for build in (each for each in candidates if each.kind is Kind.MACHINE):
        pairs: list[tuple[Candidate, Work]] = []
        for work, ratings in rated.items():
            cheapest = _cheapest(offers, ratings)
            shown = {offer.id for offer, _ in pairs if is_alike(build, offer)}      # the same for every workload
            pairs += [(offer, work) for offer in cheapest[:MOST_OFFERS] if offer.id not in shown]
            if len(cheapest) > MOST_OFFERS:
                lacking[tr("of {all} offers the {n} cheapest for {workload} are shown", all=len(cheapest),
                           n=MOST_OFFERS, workload=work.in_words)] = None
        answered = [rent_or_buy(build, offer, work, rated[work], market, hours_per_week, failed)
                    for offer, work in pairs]
        if not any(isinstance(answer, RentOrBuy) for answer in answered):
            priced = sorted(offers, key=lambda each: math.inf if each.money is None else each.money.value)
            answered += [rent_or_buy(build, offer, None, {}, market, hours_per_week, failed)
                         for offer in priced[:MOST_OFFERS]]
            if len(priced) > MOST_OFFERS:
                text = tr("of {all} offers the {n} cheapest per hour are shown", all=len(priced), n=MOST_OFFERS)
                lacking[text] = None
        decisions += [answer for answer in answered if isinstance(answer, RentOrBuy)]
        lacking |= {answer: None for answer in answered if isinstance(answer, str)}
    return decisions, list(lacking)


def _cheapest(offers: Sequence[Candidate], ratings: Ratings) -> list[Candidate]:
    """The offers with known price and throughput, the cheapest per sample first."""
    costs: list[tuple[float, Candidate]] = []
    for offer in offers:
        speed = ratings[offer.id].samples_per_s
        if speed is not None and offer.money is not None and offer.offer is not None:
            costs.append((hour_of_work(offer.money, offer.offer).value / speed.value, offer))
    return [offer for _, offer in sorted(costs, key=lambda each: each[0])]


def _compared(
    work: Work | None, own: Rated | None, rented: Rated | None, of: Reckoning, hours_per_week: float | None,
    failed: str | None,
) -> RentOrBuy:
    assert of.build.build is not None
    is_few = any(each is not None and each.is_few for each in (own, rented))
    wanted, terms, left_out = of.hours_wanted, of.terms, of.left_out
    drawn = cost.break_even_hours(**terms.draws)
    chance = None if wanted is None or is_few else float(np.mean(drawn < wanted))
    never = None if is_few else float(np.mean(np.isinf(drawn)))
    life = of.build.build.life_years
    return RentOrBuy(
        build=of.build, offer=of.offer, workload=work, own=own, rented=rented, steps=tuple(of.steps),
        left_out=left_out, life_years=life, power_w=of.power.watts, at_energy_prices=of.at_energy_prices(),
        hours_wanted=wanted, chance=chance, per_million=_per_million(terms, work, own, rented, life, wanted),
        standing=_standing(chance, never, _has_equal_work(of), of.steps[-1].origin, left_out),
        words=tuple(_answer(of, chance, own, rented, hours_per_week, failed)),
    )


def _per_million(
    terms: Terms, work: Work | None, own: Rated | None, rented: Rated | None, life: float | None, wanted: float | None
) -> dict[str, float]:
    """Cost per million samples, rented and own, for the hours that the user wants; empty for a family."""
    of, costs = terms.value, {}
    if not isinstance(work, Workload):
        return {}
    if rented is not None and rented.samples_per_s is not None:
        costs[tr_later("rented")] = float(cost.cost_per_million(of["rent_per_hour"], rented.samples_per_s.value))
    if own is not None and own.samples_per_s is not None and life is not None and wanted is not None:
        per_hour = cost.cost_per_hour_of_use(
            of["price"], of.get("resale", 0.0), life_years=life, busy_share=min(cost.busy_share(wanted, life), 1.0),
            running_per_hour=of.get("running_per_hour", 0.0), idle_per_hour=of.get("idle_per_hour", 0.0),
        )
        costs[tr_later("own")] = float(cost.cost_per_million(per_hour, own.samples_per_s.value))
    return costs


def _has_equal_work(of: Reckoning) -> bool:
    return answers(of.steps, EQUAL_WORK) is not None


def _standing(
    chance: float | None, never: float | None, has_equal_work: bool, origin: Origin, left_out: Sequence[LeftOut]
) -> Standing:
    """How certain the answer is; never clear if it depends on a prediction, or on a missing term that may reverse it.

    ``never`` is the probability that no number of hours is enough; None: too few trials.
    """
    if never is None:
        return Standing.FEW
    if chance is None and never < LIKELY:
        return Standing.DEPENDS
    if not has_equal_work:
        return Standing.OPEN
    is_open = origin is Origin.PREDICTED or any(each.holds for each in left_out)
    return standing(never if chance is None else max(chance, 1 - chance), is_predicted=is_open)


def _answer(
    of: Reckoning, chance: float | None, own: Rated | None, rented: Rated | None,
    hours_per_week: float | None, failed: str | None,
) -> list[str]:
    assert of.build.build is not None
    build, offer, life, hours = of.build.id, of.offer.id, of.build.build.life_years, of.steps[-1].hours
    said = [_pays(of)]
    if life is not None and math.isfinite(hours.value):
        share = cost.busy_share(hours.value, life)
        weekly = hours.value / (life * WEEKS_OF_A_YEAR)
        late = "" if share <= 1 else tr(", which is more than there are, so it never pays")
        said.append(tr("That is {share} of the hours of its {years:g} years, {hours} h per week{late}.",
                       share=formatting.share(share), years=life, hours=formatting.significant(weekly, 2), late=late))
    said += _against_bare(of.steps)
    if of.hours_wanted is not None and chance is not None:
        cheaper = tr("buying") if chance >= 0.5 else tr("renting")
        said.append(tr("For the {hours} h of work that you want, {cheaper} is cheaper with a probability of {chance}.",
                       hours=formatting.number(of.hours_wanted, 0), cheaper=cheaper,
                       chance=chance_in_words(max(chance, 1 - chance))))
    elif hours_per_week is None and math.isfinite(hours.value):
        said.append(tr("Whether to buy depends on how much you compute: --hours-per-week gives the probability, and "
                       "the cost per million samples on your own machine."))
    elif hours_per_week is not None and life is None and math.isfinite(hours.value):
        said.append(tr("Whether to buy for {hours:g} h per week is not known without the life_years of {build}.",
                       hours=hours_per_week, build=build))
    said += [tr("This leaves out {term}: {holds}.", term=tr(each.name), holds=each.holds)
             for each in of.left_out if each.holds]
    predicted = [] if is_alike(of.build, of.offer) else [
        each.candidate.id for each in (own, rented) if each is not None and each.origin is Origin.PREDICTED]
    if predicted:
        said.append(tr("The throughput of {names} is {mark} predicted, so this is never clear: measure before you buy.",
                       names=formatting.listed(predicted), mark=Origin.PREDICTED.mark))
    if failed is not None:
        said.append(tr("As listed, {machine} is insufficient for its parts, and its price does not include a remedy: "
                       "{what}.",
                       machine=build, what=failed))
    if not _has_equal_work(of):
        said.append(tr("No workload is known for both, so an hour of {build} is assumed to do the same work as an "
                       "hour of {offer}; this may be wrong by a factor of several: enter a [[throughput]] "
                       "of each.", build=build, offer=offer))
    return said


def _pays(of: Reckoning) -> str:
    """The sentence with the hours from which on buying pays, or why it never does."""
    build, offer, hours = of.build.id, of.offer.id, of.steps[-1].hours
    if math.isinf(hours.value):
        template = tr_later("Renting {offer} is always cheaper: the electricity of {build} costs more than renting "
                            "for the same work.") if _has_equal_work(of) else tr_later(
            "Hour for hour, renting {offer} is cheaper: the electricity of {build} costs more than the rent.")
        return tr(template, offer=offer, build=build)
    counted = tr(" for equal work") if _has_equal_work(of) else ""
    if answers(of.steps, RESALE) is not None:
        counted += tr(", including its resale")
    return tr("{build} pays after {hours} of work, compared with {offer}{work}.", build=build,
              hours=hours_in_words(hours), offer=offer, work=counted)


def _against_bare(steps: Sequence[Step]) -> list[str]:
    """The sentence with the result of price over rent alone, for comparison."""
    bare, hours, equal = steps[0].hours, steps[-1].hours, answers(steps, EQUAL_WORK)
    if equal is None or bare.value <= 0 or not math.isfinite(hours.value) or not math.isfinite(bare.value):
        return []
    more = tr(        "; for equal work it is {hours}, {times} that", hours=hours_in_words(equal.hours),
                      times=formatting.times(equal.hours.value / bare.value, 2))
    return [tr("Price divided by rent, the rule of buyers' guides, gives {hours}{more}.", hours=hours_in_words(bare),
               more=more)]


def hours_in_words(hours: Hours) -> str:
    """Hours with their interval, if there is one: "1,360 h (950 to 2,000)"."""
    if math.isinf(hours.value):
        return tr("never")
    if math.isclose(hours.low, hours.high, rel_tol=1e-3):
        return f"{formatting.significant(hours.value, 4)} h"
    if math.isinf(hours.high):
        return tr("{value} h ({low} to never)", value=formatting.significant(hours.value),
                  low=formatting.significant(hours.low, 2))
    middle, low, high = formatting.digits(hours.value, hours.low, hours.high)
    return tr("{value} h ({low} to {high})", value=middle, low=low, high=high)
