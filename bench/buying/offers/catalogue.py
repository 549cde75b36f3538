"""Downloads rental prices of machines into a dated file of offers, with the package gpuhunt."""

from __future__ import annotations

import importlib
import logging
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from rigmark.bench.buying.offers.file import SCHEMA
from rigmark.bench.buying.offers.market import Billing
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.machine import gpu_specifications

CURRENCY = "USD"             # of every price in these catalogues
PROVIDERS = ("aws", "azure", "cloudrift", "gcp", "lambdalabs", "nebius", "oci", "runpod", "verda")
"""The providers whose catalogues gpuhunt publishes; others must be queried one by one, some of them with an account."""


class Item(Protocol):
    """The attributes of gpuhunt's CatalogItem that are used here."""

    instance_name: str
    location: str
    price: float
    cpu: int
    gpu_count: int
    gpu_name: str | None
    gpu_memory: float | None
    spot: bool


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The catalogue of one provider."""

    provider: str
    version: str | None          # of the catalogue; None if it comes from a folder
    items: Sequence[Item]


def fetch(providers: Sequence[str], gpus: Sequence[str], *, spot: bool) -> list[Fetched]:
    """Downloads catalogues; raises UserError if that fails, a provider is not known, or gpuhunt is not installed."""
    try:
        gpuhunt = importlib.import_module("gpuhunt")
    except ImportError:
        sentence = "prices are fetched with gpuhunt, which is not installed; pip install gpuhunt"
        raise UserError(sentence) from None
    for provider in providers:
        if provider not in PROVIDERS:
            raise unknown("provider", provider, PROVIDERS)
    logging.getLogger("gpuhunt").setLevel(logging.CRITICAL)     # it logs a traceback for every provider that fails
    catalog = gpuhunt.Catalog(balance_resources=False, auto_reload=False)
    if "GPUHUNT_CATALOG_DIR" not in os.environ:
        try:
            catalog.load()
        except Exception as error:       # errors of gpuhunt and of the network, of many kinds
            why = error.__cause__ or error
            raise UserError(
                f"no prices were downloaded: {why}; this verb needs the network, all others work with prices that you "
                "enter in hardware.toml"
            ) from None
    fetched = []
    for provider in providers:
        known = catalog.catalog.get(provider)
        try:
            items = catalog.query(
                provider=provider, gpu_name=list(gpus) or None, min_gpu_count=1, spot=None if spot else False
            )
        except OSError as error:
            raise UserError(f"no prices of {provider}: {error}; try another --provider") from None
        fetched.append(Fetched(provider=provider, version=known.version if known else None, items=items))
    return fetched


def offers(fetched: Fetched, today: date) -> dict[str, Any]:
    """The content of an offers file: one offer per instance type and way of billing, with prices over all regions."""
    alike: dict[tuple[str, bool], list[Item]] = {}
    for item in fetched.items:
        if item.gpu_name and item.gpu_count and item.price > 0:
            alike.setdefault((item.instance_name, item.spot), []).append(item)
    name = f"{fetched.provider}-catalogue"
    version = "" if fetched.version is None else f" {fetched.version}"
    return {
        "schema": SCHEMA, "as_of": today, "currency": CURRENCY,
        "source": {name: {
            "title": f"gpuhunt, catalogue of {fetched.provider}{version}, {len(fetched.items)} items",
            "kind": "catalogue", "confidence": "quoted",
        }},
        "offer": [_offer(fetched.provider, name, own) for _, own in sorted(alike.items())],
    }


def _offer(provider: str, source: str, items: Sequence[Item]) -> dict[str, Any]:
    first, prices = items[0], [item.price for item in items]
    billing = Billing.SPOT if first.spot else Billing.ON_DEMAND
    spread = {"low": min(prices), "high": max(prices)} if len(set(prices)) > 1 else {}
    return {
        "id": f"{provider}.{first.instance_name}" + (".spot" if first.spot else ""), "provider": provider,
        "price_per_hour": {"value": statistics.median_low(prices), **spread, "source": source},
        "billing": billing.value, "gpus": {_device(first): first.gpu_count},
        **({"memory_per_gpu_gb": first.gpu_memory} if first.gpu_memory else {}),
        **({"vcpus": first.cpu} if first.cpu else {}),
    }


def _device(item: Item) -> str:
    """The key of the GPU that matches the short name in the catalogue; that name itself unless exactly one matches."""
    name = str(item.gpu_name)
    for spelled in (name, f"Tesla {name}", f"GeForce {name}"):
        try:
            return f"{gpu_specifications.PREFIX}{gpu_specifications.by_name(spelled, memory_gb=item.gpu_memory).key}"
        except gpu_specifications.ManyCards:
            return name
        except UserError:
            continue
    return name


def text(content: Mapping[str, Any]) -> str:
    import tomlkit

    return tomlkit.dumps(content)


def count(content: Mapping[str, Any]) -> int:
    entries: Iterable[Any] = content["offer"]
    return len(list(entries))
