"""Reads and checks ``hardware.toml``: what can be bought or rented, and its price. docs/buy.md describes the format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

from rigmark.bench.buying.offers.file import File, Rate
from rigmark.bench.buying.offers.market import Energy, Market, Price
from rigmark.bench.buying.offers.reading import read
from rigmark.bench.errors import UserError, unknown

FILE = "hardware.toml"


def seed(name: str) -> Path:
    """The path of a file of offers that comes with Rigmark; raises UnknownName with the nearest name."""
    folder = resources.files("rigmark.bench.buying") / "seeds"
    names = sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))
    if name not in names:
        raise unknown("seed", name, names)
    return Path(str(folder / f"{name}.toml"))


def load(paths: Sequence[Path], today: date) -> Market:
    """The content of all files together; if an id occurs in two files, the earlier file is used.

    Money is converted to the currency of the first file that has one. Prices of later files in a currency without an
    exchange rate are not used, which is reported in ``problems``. Raises UserError with file, table and key for a
    mistake, and for a currency without a rate in that first file itself.
    """
    read_files = [File(read(path), today) for path in paths]
    first = next((each for each in read_files if each.base), None)
    currency = None if first is None else first.base
    merged = Market(
        currency=currency, files=tuple(str(path) for path in paths),
        parts=_first(each.parts for each in read_files), builds=_first(each.builds for each in read_files),
        offers=_first(each.offers for each in read_files),
        energy=next((each.energy for each in read_files if each.energy is not None), Energy()),
        throughputs=tuple(_first({t.id: t for t in each.throughputs} for each in read_files).values()),
        problems=tuple(problem for each in read_files for problem in each.problems),
    )
    for build in merged.builds.values():
        for part in build.parts:
            if part not in merged.parts:
                top = next(each.top for each in read_files if build.id in each.builds)
                raise top.wrong(f"[[build]] {build.id}, parts", str(unknown("part", part, merged.parts)))
    own = "" if first is None else first.top.file
    return _in_one_currency(merged, [rate for each in read_files for rate in each.rates], own)


def _first(tables: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        merged = {**table, **merged}
    return merged


# Currencies -----------------------------------------------------------------------------------------------------------


def _in_one_currency(market: Market, rates: Sequence[Rate], own_file: str) -> Market:
    used: dict[str, str] = {}
    left_out: Counter[tuple[str, str]] = Counter()      # number of unusable prices by (file, currency)

    def converted(price: Price | None) -> Price | None:
        if price is None or price.currency == market.currency:
            return price
        for rate in rates:
            pair = (rate.currency, rate.base)
            if pair in ((price.currency, market.currency), (market.currency, price.currency)):
                dated = f" on {rate.as_of}" if rate.as_of else ", undated"
                text = f"1 {rate.currency} = {rate.rate:g} {rate.base}{dated}"
                used[text] = f"{text} ({rate.note})" if rate.note else text
                forth = pair[0] == price.currency
                return replace(price, rate=rate.rate if forth else 1 / rate.rate)
        file = price.where.partition(": ")[0]
        if file == own_file:
            raise UserError(
                f"{price.where}: is in {price.currency} while others are in {market.currency}, and no rate is given; "
                f"write [fx] with base = \"{market.currency}\" and {price.currency} = {{ rate = ... }}"
            )
        left_out[file, price.currency] += 1
        return replace(price, rate=None)

    converted_market = replace(
        market,
        parts={name: replace(part, price=converted(part.price)) for name, part in market.parts.items()},
        builds={name: replace(build, price=converted(build.price)) for name, build in market.builds.items()},
        offers={
            name: replace(offer, price_per_hour=converted(offer.price_per_hour))
            for name, offer in market.offers.items()
        },
        energy=replace(market.energy, price_per_kwh=converted(market.energy.price_per_kwh)),
        rates=tuple(used.values()),
    )
    problems = [
        f"{file}: no rate from {code} to {market.currency} is given, so {count} of its prices cannot be used; write "
        f"[fx] with base = \"{market.currency}\" and {code} = {{ rate = ... }} in {own_file}"
        for (file, code), count in left_out.items()
    ]
    return replace(converted_market, problems=(*market.problems, *problems))
