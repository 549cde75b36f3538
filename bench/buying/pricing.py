"""Prices and other entered numbers as quantities, and doubts about prices."""

from __future__ import annotations

from datetime import date
from typing import Any

from rigmark.bench.buying import cost
from rigmark.bench.buying.offers.market import OLD_DAYS, Confidence, Market, Offer, Price, Range
from rigmark.bench.buying.quantity import Quantity
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr


def origin_of(of: Range) -> Origin:
    """The origin of a number: quoted if a source states it, otherwise entered."""
    return Origin.QUOTED if of.confidence is Confidence.QUOTED else Origin.ENTERED


def quantity(of: Range, name: str, scale: float = 1.0) -> Quantity:
    """A range as a quantity; low and high are the 10th and 90th percentile."""
    low, high = (None if end is None else end * scale for end in (of.low, of.high))
    note = of.source.title if of.source else str(of.confidence or "entered")
    return Quantity(
        name=name, value=of.value * scale, low=low, high=high, level=0.8, origin=origin_of(of), note=note
    )


def money(price: Price | None, name: str) -> Quantity | None:
    """A price in the currency of the market; None if there is no exchange rate."""
    return None if price is None or price.rate is None else quantity(price, f"price of {name}", price.rate)


def restarts_and_setup(offer: Offer) -> tuple[dict[str, Any], str, str]:
    """What makes an hour of rented work cost more than its price: arguments for cost.rent_per_hour_of_work, the same in
    words, and what is not known.
    """
    facts: dict[str, Any] = {"restart_loss": offer.restart_loss}
    reasons, lacking = [], ""
    if offer.setup_hours_per_session and offer.session_hours:
        facts |= {"setup_hours": offer.setup_hours_per_session, "session_hours": offer.session_hours}
        reasons.append(tr("{setup:g} h before each {session:g} h of work", setup=offer.setup_hours_per_session,
                       session=offer.session_hours))
    elif offer.setup_hours_per_session:
        lacking = tr("no session_hours are given, so it is not known how often its {setup:g} h occur",
                     setup=offer.setup_hours_per_session)
    elif offer.setup_hours_per_session is None:
        lacking = tr("no setup_hours_per_session is given, so no time is assumed")
    if offer.restart_loss:
        reasons.append(tr("{share} of the hours are done twice", share=formatting.share(offer.restart_loss)))
    return facts, "; ".join(reasons), lacking


def hour_of_work(price: Quantity, offer: Offer) -> Quantity:
    """The cost of an hour of rented work, including setting up and restarts as far as they are known."""
    return price.times(cost.rent_per_hour_of_work(1.0, **restarts_and_setup(offer)[0]))


def doubts_of_prices(market: Market, today: date) -> list[str]:
    """Sentences about the age of prices, prices without a date, and exchange rates."""
    ages = sorted({age for price in market.prices if (age := price.age_days(today)) is not None})
    doubts = []
    if ages:
        oldest = ages[-1]
        text = formatting.count(oldest, "day") if oldest < 730 else tr("{n:.1f} years", n=oldest / 365.25)
        warning = "" if oldest <= OLD_DAYS else tr(
            "; prices older than {n} days are no basis for advice, look them up again", n=OLD_DAYS)
        doubts.append(tr("Prices are up to {age} old{warning}.", age=text, warning=warning))
    if undated := sum(price.as_of is None for price in market.prices):
        doubts.append(tr("{prices} without a date: their age is not known.",
                         prices=formatting.count(undated, "price")))
    if market.rates:
        doubts.append(tr("Exchange rates used: {rates}.", rates="; ".join(market.rates)))
    return doubts
