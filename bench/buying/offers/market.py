"""What may be bought or rented: parts, builds, offers, energy, and figures that somebody has stated.

A price has a value, may have a low and a high one (taken as the 10th and 90th hundredth of what is asked), a currency,
a date, a source and a confidence. What is missing is missing: there are no default prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from rigmark.bench.enums import Mode, Precision
from rigmark.bench.machine.gpu_specifications import Card

OLD_DAYS = 180               # from which a price is called old


class Confidence(StrEnum):
    QUOTED = "quoted"            # a source says so
    MEASURED = "measured"        # whoever entered it has measured it; not by this tool
    ESTIMATED = "estimated"      # nobody says so: an assumption


class Billing(StrEnum):
    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED_1Y = "reserved-1y"
    RESERVED_3Y = "reserved-3y"


@dataclass(frozen=True, kw_only=True)
class Source:
    id: str
    title: str
    kind: str
    confidence: Confidence
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number with what may be known of its spread, and where it is from."""

    value: float
    low: float | None = None             # with ``high``, the 10th and 90th hundredth
    high: float | None = None
    confidence: Confidence | None = None     # None: entered without a word on it
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Price(Range):
    """In ``currency``; ``rate`` is one unit's worth in the currency that everything is shown in, None: not known."""

    currency: str
    rate: float | None = 1.0
    as_of: date | None = None
    where: str = ""                      # file, table and key, for sentences

    def age_days(self, today: date) -> int | None:
        return None if self.as_of is None else (today - self.as_of).days


@dataclass(frozen=True, kw_only=True)
class Part:
    id: str
    kind: str
    name: str
    card: Card | None                    # specifications of a GPU; None: none were named
    price: Price | None
    device_name: str | None              # as records of measurements have it
    tdp_w: float | None
    memory_gb: float | None
    slots: int | None
    length_mm: float | None              # of a card; of a case, the longest that it takes
    plugs: tuple[str, ...]               # of a card those it needs; of a power supply those it has
    rated_w: float | None                # of a power supply
    pcie_generation: int | None
    pcie_lanes: int | None               # of a CPU those it has; of a disk those it takes
    noise_dba: float | None


@dataclass(frozen=True, kw_only=True)
class Build:
    """A whole machine."""

    id: str
    parts: Mapping[str, int]             # ids, how many
    price: Price | None                  # of all together; None: the sum of its parts
    base_w: float | None                 # board, memory, disks, fans
    idle_w: float | None                 # drawn while it does nothing; 0: it is switched off; None: not said
    resale: Range | None                 # share of the price
    resale_after_years: float | None
    life_years: float | None
    note: str | None                     # for people: what of it is an assumption


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A machine for rent."""

    id: str
    provider: str
    price_per_hour: Price | None
    billing: Billing
    gpus: tuple[tuple[Card | str, int], ...]     # a name where no one card could be told
    device_name: str | None
    memory_per_gpu_gb: float | None
    vcpus: int | None
    setup_hours_per_session: float | None    # None: not said
    session_hours: float | None          # of work between two setups; None: nothing is said
    restart_loss: float                  # share of paid hours whose work is lost, of spot machines
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Energy:
    price_per_kwh: Price | None = None
    psu_efficiency: float = 0.9          # a usual figure between 80 PLUS Gold and Platinum
    cooling_overhead: float = 1.0        # facility over IT power; 1 at home
    circuit_w: float | None = None       # that the wall's circuit carries


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Somebody's figure of how fast a device runs a network."""

    id: str
    device: Card | str                   # a name where it is no card of the database
    devices: int
    model: str
    mode: Mode
    precision: Precision
    local_batch: int | None              # samples on each device in a step; None: not stated
    data: str
    software: str | None
    samples_per_s: Range
    power_w: float | None                # of all devices, measured
    busy_ratio: float | None             # of the device, 0 to 1


@dataclass(frozen=True, kw_only=True)
class Market:
    """All that was read; prices have the rate to ``currency`` already, as far as one is known."""

    currency: str | None = None
    files: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    builds: Mapping[str, Build] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    energy: Energy = Energy()
    throughputs: tuple[Throughput, ...] = ()
    rates: tuple[str, ...] = ()          # those exchange rates that were used, in words
    problems: tuple[str, ...] = ()       # what could not be told, a sentence each

    @property
    def prices(self) -> list[Price]:
        found = [
            *(part.price for part in self.parts.values()), *(build.price for build in self.builds.values()),
            *(offer.price_per_hour for offer in self.offers.values()), self.energy.price_per_kwh,
        ]
        return [price for price in found if price is not None and price.rate is not None]
