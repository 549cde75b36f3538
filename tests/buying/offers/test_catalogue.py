"""Fetched prices: a dated file that reads back, and one sentence where there is no network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from rigmark.bench.buying import offers
from rigmark.bench.buying.offers import catalogue
from rigmark.bench.buying.offers.catalogue import Fetched
from rigmark.bench.errors import UserError
from rigmark.bench.machine.gpu_specifications import Card

TODAY = date(2026, 6, 1)


@dataclass
class Item:
    instance_name: str
    price: float
    gpu_name: str | None
    gpu_memory: float | None = None
    location: str = "here"
    cpu: int = 8
    gpu_count: int = 1
    spot: bool = False


ITEMS = [
    Item("g5.xlarge", 1.0, "A10G", 24), Item("g5.xlarge", 1.4, "A10G", 24, location="there"),
    Item("p2.8xlarge", 7.2, "K80", 12, gpu_count=8), Item("p2.8xlarge", 2.2, "K80", 12, gpu_count=8, spot=True),
    Item("p4d", 32.0, "A100", 40, gpu_count=8), Item("small", 0.1, None),
]


def test_what_is_fetched_reads_back_as_offers(tmp_path: Path):
    content = catalogue.offers(Fetched(provider="aws", version="20260601", items=ITEMS), TODAY)
    path = tmp_path / "offers.toml"
    path.write_text(catalogue.text(content), encoding="utf-8")
    market = offers.load([path], TODAY)

    assert {"aws.g5.xlarge", "aws.p2.8xlarge", "aws.p2.8xlarge.spot", "aws.p4d"} == set(market.offers)
    price, gpus = market.offers["aws.p2.8xlarge"].price_per_hour, market.offers["aws.p2.8xlarge"].gpus
    assert price is not None
    assert (7.2, TODAY, "USD") == (price.value, price.as_of, price.currency)
    assert price.source is not None
    assert "catalogue of aws 20260601, 6 items" in price.source.title
    assert "tesla-k80" == getattr(gpus[0][0], "key", None)
    regions = market.offers["aws.g5.xlarge"].price_per_hour
    assert (1.0, 1.0, 1.4) == (getattr(regions, "value", 0), getattr(regions, "low", 0), getattr(regions, "high", 0))


def test_a_name_that_fits_two_cards_stays_a_name_and_is_reported(tmp_path: Path):
    path = tmp_path / "offers.toml"
    path.write_text(catalogue.text(catalogue.offers(Fetched(provider="aws", version=None, items=ITEMS), TODAY)))
    market = offers.load([path], TODAY)

    ((device, count),) = market.offers["aws.p4d"].gpus
    assert ("A100", 8) == (device, count)
    assert not isinstance(device, Card)
    assert any("'A100' may mean 'a100-pcie-40gb' or 'a100-sxm4-40gb'" in problem for problem in market.problems)


def test_a_local_catalogue_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GPUHUNT_CATALOG_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"no prices of aws: .*aws\.csv"):
        catalogue.fetch(["aws"], [], spot=False)


def test_without_a_network_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.delenv("GPUHUNT_CATALOG_DIR", raising=False)
    monkeypatch.setenv("GPUHUNT_CATALOG_URL", "http://127.0.0.1:9")      # where nobody answers

    with pytest.raises(UserError, match=r"no prices were downloaded: .*refused.*needs the network") as told:
        catalogue.fetch(["aws"], [], spot=False)

    assert "\n" not in str(told.value)
    assert not caplog.records


def test_unknown_providers_and_a_missing_package_are_reported(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="no provider 'awz'; did you mean 'aws'"):
        catalogue.fetch(["awz"], [], spot=False)
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(UserError, match="pip install gpuhunt"):
        catalogue.fetch(["aws"], [], spot=False)
