"""Which hardware does a network's work for the least money: the words that all of the advice is given in.

A workload is what must be equal for two speeds to be held against each other: network, mode, precision, batch on each
device, data. Software may differ, and is named beside every figure. Measured figures are the user's own; quoted and
entered ones come with ``hardware.toml`` and imported tables; the rest is predicted, and never wins alone.
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
from rigmark.bench.machine.gpu_specifications import Card

ORDER = (Origin.MEASURED, Origin.ENTERED, Origin.QUOTED, Origin.PREDICTED)
"""Which figure goes before which."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    model: str
    mode: str
    precision: str
    local_batch: int | None              # None: its source does not say
    data: str
    graph: str | None = None             # fingerprint, where figures of several networks of this name are stored
    only_from: str | None = None         # source or conditions that nothing else shares, say where no batch is stated

    @property
    def label(self) -> str:
        """Its name for scripts, and for what is drawn: the same in every language, as draws hang on it."""
        batch = "batch not stated" if self.local_batch is None else f"batch {self.local_batch} on each device"
        graph = "" if self.graph is None else f", graph {self.graph[:8]}"
        only = "" if self.only_from is None or self.local_batch is None else f", {self.only_from}"
        return f"{self.model} {self.mode}, {self.precision}, {batch}, {self.data} data{graph}{only}"

    @property
    def in_words(self) -> str:
        """The same for people."""
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
    """Workloads that one answer is given for: many networks, or one at several batches and sizes."""

    model: str | None                    # None: several
    mode: str
    precision: str
    workloads: tuple[Workload, ...]

    @property
    def networks(self) -> int:
        return len({each.model for each in self.workloads})

    @property
    def label(self) -> str:
        """As a workload's."""
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
    card: Card | None = None             # None: no GPU, or none that one specification fits

    @property
    def id(self) -> str:
        return self.name if self.card is None else self.card.key


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A throughput that somebody has measured."""

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
        """True for one of ours without an interval."""
        return self.trials is not None and self.trials < FEWEST_FOR_INTERVAL


@dataclass(frozen=True, kw_only=True)
class Network:
    """What the definition of a network says, for where it was not measured."""

    parameters: int
    sample_bytes: int                    # of its input
    activations: int                     # numbers that all layers write, a sample
    largest_pair: int                    # numbers that the layer with the most reads and writes, a sample
    optimizer_states: int                # for each parameter


class Kind(Enum):
    CARD = "card"
    MACHINE = "machine"
    RENTED = "rented"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What may be bought or rented."""

    id: str
    name: str
    kind: Kind
    device: Device | None                # that does the work; None: cannot be told, see ``reason``
    devices: int
    money: Quantity | None               # its price, or that of an hour; None: no price given
    rated_w: float | None                # of all its devices, on paper
    memory_bytes: float | None           # of each device
    link_bytes_per_s: float | None       # of each device's slot, where there are several
    part: Part | None = None
    build: Build | None = None
    offer: Offer | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Rated:
    """A candidate's throughput for a workload, or what it is of another's for a family of them."""

    candidate: Candidate
    samples_per_s: Quantity | None       # None: not known, ``reasons`` says why; a ratio where there is a ``baseline``
    reasons: tuple[str, ...]
    software: str
    power_w: float | None                # of the devices
    power_origin: Origin | None          # QUOTED: on paper
    is_few: bool = False                 # measured, in too few trials for an interval
    per_money: Spread | None = None      # samples/s for one unit of money; of what is rented, samples
    chance: float | None = None          # of being the best for the money in its group; None: not computed
    is_on_front: bool = False            # nobody is better in price, throughput and memory together
    baseline: str | None = None          # whose throughput is 1, of a family; None: samples/s

    @property
    def origin(self) -> Origin | None:
        return None if self.samples_per_s is None else self.samples_per_s.origin

    @property
    def per_watt(self) -> float | None:
        """Samples per joule, of the devices alone; None of a family too, whose unit is no sample."""
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
    """For scripts: fields by their names; None for what is not known or has no end."""
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
