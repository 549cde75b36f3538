"""Prices and other entered numbers as quantities, and how far prices are to be trusted."""

from __future__ import annotations

from datetime import date

from rigmark.bench.buying.offers.market import OLD_DAYS, Confidence, Market, Price, Range
from rigmark.bench.buying.quantity import Quantity
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr


def origin_of(of: Range) -> Origin:
    """Whose number: what a source says is quoted; all else was entered."""
    return Origin.QUOTED if of.confidence is Confidence.QUOTED else Origin.ENTERED


def quantity(of: Range, name: str, scale: float = 1.0) -> Quantity:
    """Low and high are taken as the 10th and 90th hundredth."""
    low, high = (None if end is None else end * scale for end in (of.low, of.high))
    note = of.source.title if of.source else str(of.confidence or "entered")
    return Quantity(
        name=name, value=of.value * scale, low=low, high=high, level=0.8, origin=origin_of(of), note=note
    )


def money(price: Price | None, name: str) -> Quantity | None:
    """In the market's currency."""
    return None if price is None else quantity(price, f"price of {name}", price.rate)


def doubts_of_prices(market: Market, today: date) -> list[str]:
    """A sentence on how old the prices are, on those without a date, and on exchange rates."""
    ages = sorted({age for price in market.prices if (age := price.age_days(today)) is not None})
    found = []
    if ages:
        oldest = ages[-1]
        words = formatting.count(oldest, "day") if oldest < 730 else tr("{n:.1f} years", n=oldest / 365.25)
        warning = "" if oldest <= OLD_DAYS else tr(
            "; after {n} days they are no advice for today, look them up anew", n=OLD_DAYS)
        found.append(tr("Prices are up to {age} old{warning}.", age=words, warning=warning))
    if undated := sum(price.as_of is None for price in market.prices):
        found.append(tr("{prices} without a date: how old, nobody can tell.",
                        prices=formatting.count(undated, "price")))
    if market.rates:
        found.append(tr("Exchange rates used: {rates}.", rates="; ".join(market.rates)))
    return found
