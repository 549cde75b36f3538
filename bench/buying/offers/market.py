"""What can be bought or rented: parts, builds, offers, energy, and throughputs that somebody has stated.

A price has a value, perhaps a low and a high one (the 10th and 90th percentile of offers), a currency, a date, a source
and a confidence. There are no default prices: what is not stated is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from rigmark.bench.enums import Mode, Precision
from rigmark.bench.machine.gpu_specifications import Card

OLD_DAYS = 180               # age from which on a price is called old


class Confidence(StrEnum):
    QUOTED = "quoted"            # stated by a source
    MEASURED = "measured"        # measured by whoever entered it, not with this tool
    ESTIMATED = "estimated"      # an assumption


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
    """A number with its spread, if known, and its source."""

    value: float
    low: float | None = None             # with ``high``: 10th and 90th percentile
    high: float | None = None
    confidence: Confidence | None = None     # None: not stated
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Price(Range):
    """A price in ``currency``; ``rate`` is the value of one unit in the displayed currency, None if not known."""

    currency: str
    rate: float | None = 1.0
    as_of: date | None = None
    where: str = ""                      # file, table and key, for messages

    def age_days(self, today: date) -> int | None:
        return None if self.as_of is None else (today - self.as_of).days


@dataclass(frozen=True, kw_only=True)
class Part:
    id: str
    kind: str
    name: str
    card: Card | None                    # specifications of a GPU; None: not named
    price: Price | None
    device_name: str | None              # its name in records of measurements
    tdp_w: float | None
    memory_gb: float | None
    slots: int | None
    length_mm: float | None              # of a GPU; of a case, the longest GPU that fits
    plugs: tuple[str, ...]               # that a GPU needs, or that a power supply has
    rated_w: float | None                # of a power supply
    pcie_generation: int | None
    pcie_lanes: int | None               # that a CPU has, or that a disk uses
    noise_dba: float | None


@dataclass(frozen=True, kw_only=True)
class Build:
    """A whole machine."""

    id: str
    parts: Mapping[str, int]             # number of each part by id
    price: Price | None                  # of the whole machine; None: the sum of its parts
    base_w: float | None                 # board, memory, disks, fans
    idle_w: float | None                 # power when idle; 0: it is switched off; None: not stated
    resale: Range | None                 # share of the price
    resale_after_years: float | None
    life_years: float | None
    note: str | None                     # for people: which of it is an assumption


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A machine for rent."""

    id: str
    provider: str
    price_per_hour: Price | None
    billing: Billing
    gpus: tuple[tuple[Card | str, int], ...]     # a name if it does not match exactly one GPU
    device_name: str | None
    memory_per_gpu_gb: float | None
    vcpus: int | None
    setup_hours_per_session: float | None    # None: not stated
    session_hours: float | None          # work between two setups; None: not stated
    restart_loss: float                  # share of paid hours whose work is lost on spot machines
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Energy:
    price_per_kwh: Price | None = None
    psu_efficiency: float = 0.9          # a usual value between 80 PLUS Gold and Platinum
    cooling_overhead: float = 1.0        # facility over IT power; 1 at home
    circuit_w: float | None = None       # rating of the wall circuit


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """A stated throughput of a device for a network."""

    id: str
    device: Card | str                   # a name if it is not in the database
    devices: int
    model: str
    mode: Mode
    precision: Precision
    local_batch: int | None              # samples per step on each device; None: not stated
    data: str
    software: str | None
    samples_per_s: Range
    power_w: float | None                # of all devices, measured
    busy_ratio: float | None             # of the device, 0 to 1


@dataclass(frozen=True, kw_only=True)
class Market:
    """Everything that was read; prices have their rate to ``currency`` already, if it is known."""

    currency: str | None = None
    files: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    builds: Mapping[str, Build] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    energy: Energy = Energy()
    throughputs: tuple[Throughput, ...] = ()
    rates: tuple[str, ...] = ()          # the exchange rates that were used, in words
    problems: tuple[str, ...] = ()       # what could not be used, one sentence each

    @property
    def prices(self) -> list[Price]:
        prices = [
            *(part.price for part in self.parts.values()), *(build.price for build in self.builds.values()),
            *(offer.price_per_hour for offer in self.offers.values()), self.energy.price_per_kwh,
        ]
        return [price for price in prices if price is not None and price.rate is not None]
