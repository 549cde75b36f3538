"""The classes in which all advice is given.

A workload is what must be equal for two speeds to be comparable: network, mode, precision, batch per device, data.
Software may differ, and is stated with every figure. Measured figures are the user's own; quoted and entered ones come
from ``hardware.toml`` and imported tables; all others are predicted, and a prediction alone never decides.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import numpy as np

from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL
from rigmark.bench.buying.offers.market import Build, Offer, Part
from rigmark.bench.buying.quantity import Draws, Quantity, Spread, of_another_unit
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, word
from rigmark.bench.ir import memory
from rigmark.bench.ir.graph import Graph
from rigmark.bench.machine.gpu_specifications import Card

ORDER = (Origin.MEASURED, Origin.ENTERED, Origin.QUOTED, Origin.PREDICTED)
"""Precedence of figures by origin."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    model: str
    mode: str
    precision: str
    local_batch: int | None              # None: not stated by its source
    data: str
    graph: str | None = None             # fingerprint, if figures of several networks with this name are stored
    only_from: str | None = None         # source or conditions that make it comparable with nothing else

    @property
    def label(self) -> str:
        """Its name for scripts and as a seed of draws; it is the same in every language."""
        batch = "batch not stated" if self.local_batch is None else f"batch {self.local_batch} on each device"
        graph = "" if self.graph is None else f", graph {self.graph[:8]}"
        only = "" if self.only_from is None or self.local_batch is None else f", {self.only_from}"
        return f"{self.model} {self.mode}, {self.precision}, {batch}, {self.data} data{graph}{only}"

    @property
    def in_words(self) -> str:
        """Its name for people."""
        parts = [
            f"{self.model} {word(self.mode)}", self.precision,
            tr("batch not stated") if self.local_batch is None else
            tr("batch {batch} on each device", batch=self.local_batch),
            tr("{data} data", data=self.data),
            "" if self.graph is None else tr("graph ") + self.graph[:8],
            "" if self.only_from is None or self.local_batch is None else self.only_from,
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Workloads that get one answer: many networks, or one network with several batches and sizes."""

    model: str | None                    # None: several
    mode: str
    precision: str
    workloads: tuple[Workload, ...]

    @property
    def networks(self) -> int:
        return len({each.model for each in self.workloads})

    @property
    def label(self) -> str:
        """As that of a workload."""
        what = f"{self.networks} networks" if self.model is None else self.model
        return f"{what} {self.mode}, {self.precision}, {len(self.workloads)} workloads together"

    @property
    def in_words(self) -> str:
        what = [formatting.count(self.networks, "network"), word(self.mode)] if self.model is None else \
            [f"{self.model} {word(self.mode)}"]
        sizes = [] if self.model is None else [tr("{n} batches and sizes together", n=f"{len(self.workloads):,}")]
        return ", ".join((*what, self.precision, *sizes))


Work = Workload | Family


@dataclass(frozen=True, kw_only=True)
class Device:
    name: str
    card: Card | None = None             # None: not a GPU, or without exactly one specification

    @property
    def id(self) -> str:
        return self.name if self.card is None else self.card.key


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A known throughput, from a measurement of the user or of others."""

    workload: Workload
    device: Device
    devices: int
    samples_per_s: Quantity
    software: str
    power_w: float | None                # of all devices while they work
    busy_ratio: float | None
    is_cpu: bool
    trials: int | None                   # None: not ours

    @property
    def origin(self) -> Origin:
        return self.samples_per_s.origin

    @property
    def is_few(self) -> bool:
        """Whether it is one of ours with too few trials for an interval."""
        return self.trials is not None and self.trials < FEWEST_FOR_INTERVAL


@dataclass(frozen=True, kw_only=True)
class Network:
    """Sizes from the definition of a network, for devices on which it was not measured."""

    parameters: int
    sample_bytes: int                    # of all its inputs
    graph: Graph                         # from which the memory of a step follows


def network_of(graph: Graph) -> Network:
    sample = sum(each.tensor.elements(1) * memory.itemsize(each.tensor) for each in graph.inputs)
    return Network(parameters=graph.parameter_count, sample_bytes=int(sample), graph=graph)


class Kind(Enum):
    CARD = "card"
    MACHINE = "machine"
    RENTED = "rented"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A device or machine that can be bought or rented."""

    id: str
    name: str
    kind: Kind
    device: Device | None                # the device that computes; None: not known, see ``reason``
    devices: int
    money: Quantity | None               # its price, or its rent per hour; None: not stated
    rated_w: float | None                # rated power of all its devices
    memory_bytes: float | None           # of each device
    link_bytes_per_s: float | None       # of the slot of each device, if there are several
    part: Part | None = None
    build: Build | None = None
    offer: Offer | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Rated:
    """The throughput of a candidate for a workload, or its ratio to another candidate for a family."""

    candidate: Candidate
    samples_per_s: Quantity | None       # None: not known, see ``reasons``; a ratio if there is a ``baseline``
    reasons: tuple[str, ...]
    software: str
    power_w: float | None                # of the devices
    power_origin: Origin | None          # QUOTED: from a data sheet
    is_few: bool = False                 # measured in too few trials for an interval
    per_money: Spread | None = None      # samples/s per unit of money; for rented machines, samples
    chance: float | None = None          # probability that it has the best value in its group; None: not computed
    is_on_front: bool = False            # no other is better in price, throughput and memory together
    baseline: str | None = None          # of a family: the candidate whose throughput is 1; None: samples/s

    @property
    def origin(self) -> Origin | None:
        return None if self.samples_per_s is None else self.samples_per_s.origin

    @property
    def per_watt(self) -> float | None:
        """Samples per joule of the devices alone; None also for a family, which has no samples."""
        if self.samples_per_s is None or not self.power_w or self.baseline is not None:
            return None
        return self.samples_per_s.value / self.power_w

    @property
    def unit(self) -> str:
        return tr("samples/s") if self.baseline is None else tr("times {baseline}", baseline=self.baseline)

    def draws(self) -> Draws:
        assert self.samples_per_s is not None
        return self.samples_per_s.draws() * of_another_unit(self.candidate.id)


# As plain data --------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The value for scripts: fields by name; None for what is not known or infinite."""
    if isinstance(value, Card):
        return value.key
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return value
