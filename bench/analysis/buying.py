"""Which hardware does a network's work for the least money: from what is known of it to what may be said.

A workload is what must be equal for two speeds to be held against each other: network, mode, precision, batch on each
device, data. Software may differ, and is named beside every figure. Measured figures are the user's own; quoted and
entered ones come with ``hardware.toml``; the rest is predicted, and never wins alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import cost, formatting, quoted
from bench.analysis.document import Origin
from bench.analysis.language import tr, word
from bench.analysis.prediction import Prediction, Reference, Refusal, predicted
from bench.analysis.quantity import (
    NORMAL,
    Draws,
    Quantity,
    Spread,
    of_another_unit,
)
from bench.analysis.statistics import FEWEST_FOR_INTERVAL
from bench.analysis.summary import is_nothing
from bench.analysis.telemetry import Validity, seen
from bench.isa import Isa
from bench.offers import OLD_DAYS, Build, Confidence, Market, Offer, Part, Price, Range, Throughput, cards
from bench.offers.cards import GIB, Card
from bench.words import Mode, Outcome, TrialKind, UserError

USUAL_LANES = 8              # of each of two cards on a usual board
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
    """A candidate's throughput for a workload."""

    candidate: Candidate
    samples_per_s: Quantity | None       # None: not known, and ``reasons`` says why
    reasons: tuple[str, ...]
    software: str
    power_w: float | None                # of the devices
    power_origin: Origin | None          # QUOTED: on paper
    is_few: bool = False                 # measured, in too few trials for an interval
    per_money: Spread | None = None      # samples/s for one unit of money; of what is rented, samples
    chance: float | None = None          # of being the best for the money in its group; None: not computed
    is_on_front: bool = False            # nobody is better in price, throughput and memory together

    @property
    def origin(self) -> Origin | None:
        return None if self.samples_per_s is None else self.samples_per_s.origin

    @property
    def per_watt(self) -> float | None:
        """Samples a joule, of the devices alone."""
        if self.samples_per_s is None or not self.power_w:
            return None
        return self.samples_per_s.value / self.power_w

    def draws(self) -> Draws:
        assert self.samples_per_s is not None
        return self.samples_per_s.draws() * of_another_unit(self.candidate.id)


# From what is stored and entered --------------------------------------------------------------------------------------


def figures(
    results: pd.DataFrame, trials: pd.DataFrame, market: Market, tables: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[Figure], list[str]]:
    """Every usable throughput, and a sentence for each GPU that no one specification fits.

    ``tables`` are those of others, as they are imported: a ``source`` with format and title, and ``rows`` with what
    each line states.
    """
    devices = _Devices(market)
    found = [
        *_stored(results, trials, devices), *(_entered(each) for each in market.throughputs),
        *(figure for table in tables for figure in _imported(table, devices)),
    ]
    return found, [*devices.problems, *_unstated(tables)]


class _Devices:
    """GPUs by the names that drivers and tables call them; ``problems`` are those that no one specification fits."""

    def __init__(self, market: Market):
        self.entered = {part.device_name: part.card for part in market.parts.values() if part.device_name and part.card}
        self.problems: dict[str, None] = {}

    def gpu(self, name: str) -> Device:
        if name in self.entered:
            return Device(name=name, card=self.entered[name])
        try:
            return Device(name=name, card=cards.by_name(name))
        except UserError as error:
            self.problems[tr("{error}: write a [[part]] with device_name = \"{name}\" and the spec of its card",
                             error=error, name=name)] = None
            return Device(name=name)


def _stored(results: pd.DataFrame, trials: pd.DataFrame, devices: _Devices) -> Iterator[Figure]:
    machines = {
        row.machine: json.loads(row.machine_facts) for row in trials[["machine", "machine_facts"]].itertuples()
        if isinstance(row.machine_facts, str)
    }
    rows = [
        {str(name): fact for name, fact in row.items()} for row in results.to_dict("records")
        if row["kind"] == TrialKind.TIMING and row["outcome"] == Outcome.OK
        and not is_nothing(row["throughput_samples_per_s"]) and row["validity"] != Validity.INVALID
        and row["isa"] == Isa.NATIVE and not row["oversubscribed"]
    ]
    graphs: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        graphs.setdefault((row["model"], row["mode"]), set()).add(str(row["graph_fingerprint"]))
    for row in rows:
        is_cpu = str(row["device"]).startswith("cpu")
        if is_cpu and row["world_size"] > 1:
            continue     # parts of one processor are no devices that are bought
        device = _device_of(row, machines.get(row["machine"], {}), is_cpu, devices)
        if device is None:
            continue
        several = len(graphs[row["model"], row["mode"]]) > 1
        workload = Workload(
            model=row["model"], mode=row["mode"], precision=row["precision"], local_batch=int(row["local_batch"]),
            data=row["data"], graph=str(row["graph_fingerprint"]) if several else None,
        )
        software = f"{row['framework']} {row['framework_version']} {row['compile_mode']} {row['layout']}"
        origin = Origin(row["origin"]) if row["origin"] in tuple(Origin) else Origin.QUOTED
        trials_of = int(row["trials"]) if origin is Origin.MEASURED else None
        yield Figure(
            workload=workload, device=device, devices=int(row["world_size"]), software=software,
            samples_per_s=Quantity(
                name=f"{workload.label} on {row['world_size']} {device.id}, {software}, {row['machine']}",
                value=float(row["throughput_samples_per_s"]), low=_number(row["throughput_low_samples_per_s"]),
                high=_number(row["throughput_high_samples_per_s"]), origin=origin, note=software,
            ),
            power_w=_number(row["power_w"]), busy_ratio=None if is_cpu else _busy_ratio(row, trials), is_cpu=is_cpu,
            trials=trials_of,
        )


def _number(fact: Any) -> float | None:
    return None if is_nothing(fact) else float(fact)


def _device_of(
    row: Mapping[str, Any], machine: Mapping[str, Any], is_cpu: bool, devices: _Devices
) -> Device | None:
    if is_cpu:
        return Device(name=str(row["device_name"]))
    gpus = machine.get("gpus") or []
    index = int(str(row["device"]).partition(":")[2] or 0)
    if index >= len(gpus):
        devices.problems[tr("a figure of {model} ran on {device}, whose name its record does not hold",
                            model=row["model"], device=row["device"])] = None
        return None
    return devices.gpu(str(gpus[index]))


def _busy_ratio(row: Mapping[str, Any], trials: pd.DataFrame) -> float | None:
    """Median over trials of the share of the time in which the GPU was at work; None where nobody looked."""
    own = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK) & (trials.run_id == row["run_id"])]
    for name in ("model", "framework", "mode", "precision", "local_batch", "device", "compile_mode", "layout",
                 "world_size"):
        own = own[own[name] == row[name]]
    ratios = [
        ratio for trial in own.to_dict("records")
        for gpu in seen({str(name): fact for name, fact in trial.items()}).gpus
        if (ratio := gpu.mean("busy_ratio")) is not None
    ]
    return float(np.median(ratios)) if ratios else None


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


def _entered(each: Throughput) -> Figure:
    source = each.samples_per_s.source
    workload = Workload(
        model=each.model, mode=str(each.mode), precision=str(each.precision), local_batch=each.local_batch,
        data=each.data, only_from=(source.id if source else "entered") if each.local_batch is None else None,
    )
    card = each.device if isinstance(each.device, Card) else None
    name = each.device.name if isinstance(each.device, Card) else each.device
    return Figure(
        workload=workload, device=Device(name=name, card=card), devices=each.devices,
        samples_per_s=quantity(each.samples_per_s, each.id), software=each.software or tr("software not stated"),
        power_w=each.power_w, busy_ratio=each.busy_ratio, is_cpu=card is None, trials=None,
    )


STATED = ("mode", "precision", "local_batch", "device_name")
"""What an imported line must state, beside its network and how fast it ran, to be held against anything."""


def _unstated(tables: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """How many lines of tables are of no use for what they lack, a sentence for each lack."""
    lacking = Counter(
        tuple(name for name in STATED if is_nothing(row.get(name)))
        for table in tables for row in table["rows"] if quoted.throughput(row) is not None
    )
    for names, count in lacking.items():
        if names:
            yield tr("{lines} of imported tables: {names} not stated, so held against nothing; import again with "
                     "--again --set NAME=VALUE", lines=formatting.count(count, "line"), names=formatting.listed(names))


def _imported(table: Mapping[str, Any], devices: _Devices) -> Iterator[Figure]:
    """Lines that state what they are of; their other conditions keep them apart from all without the same."""
    source = table["source"]
    for line, row in enumerate(table["rows"]):
        rate = quoted.throughput(row)
        if rate is None or any(is_nothing(row.get(name)) for name in STATED):
            continue
        conditions = ", ".join(f"{name} {fact}" for name, fact in sorted((row.get("conditions") or {}).items()))
        software = " ".join(str(row[name]) for name in ("framework", "framework_version", "compile_mode", "layout")
                            if row.get(name)) or tr("software not stated")
        yield Figure(
            workload=Workload(
                model=row["model"], mode=row["mode"], precision=row["precision"], local_batch=int(row["local_batch"]),
                data=row.get("data") or "synthetic",
                only_from=f"{source['format']}, {conditions}" if conditions else None,
            ),
            device=Device(name=row["device_name"]) if row.get("device") == "cpu" else devices.gpu(row["device_name"]),
            devices=int(row.get("world_size") or 1), software=software, power_w=None, busy_ratio=None, trials=None,
            is_cpu=row.get("device") == "cpu", samples_per_s=Quantity(
                name=f"{source['format']} {source.get('file')} {line}", value=rate,
                origin=Origin.QUOTED, note=str(source.get("title") or source.get("file")),
            ),
        )


def workloads(known: Iterable[Figure]) -> list[Workload]:
    """All that there are, by name. Figures without a fingerprint join each workload of the same name."""
    return sorted({figure.workload for figure in known}, key=lambda each: (each.label, each.only_from or ""))


def of_workload(known: Iterable[Figure], workload: Workload) -> list[Figure]:
    return [each for each in known if each.workload in (workload, replace(workload, graph=None))]


# Candidates -----------------------------------------------------------------------------------------------------------


def money(price: Price | None, name: str) -> Quantity | None:
    """In the market's currency."""
    return None if price is None else quantity(price, f"price of {name}", price.rate)


def candidates(market: Market, more: Iterable[Card] = ()) -> list[Candidate]:
    """Every card, machine and offer; ``more`` cards have no price."""
    found = [_card_alone(part, market) for part in market.parts.values() if part.kind in ("gpu", "cpu", "accelerator")]
    met = {each.device.card.key for each in found if each.device is not None and each.device.card is not None}
    found += [
        Candidate(
            id=card.key, name=card.name, kind=Kind.CARD, device=Device(name=card.name, card=card), devices=1,
            money=None, rated_w=card.tdp_w, memory_bytes=card.memory_bytes, link_bytes_per_s=None,
        )
        for card in more if card.key not in met
    ]
    found += [_machine(build, market) for build in market.builds.values()]
    return found + [_rented(offer) for offer in market.offers.values()]


def _card_alone(part: Part, market: Market) -> Candidate:
    return Candidate(
        id=part.id, name=part.name, kind=Kind.CARD, device=_device(part), devices=1,
        money=money(part.price, part.id), rated_w=part.tdp_w, memory_bytes=_times(part.memory_gb, GIB),
        link_bytes_per_s=None, part=part,
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _device(part: Part) -> Device:
    return Device(name=part.device_name or part.name, card=part.card)


def build_price(build: Build, market: Market) -> Quantity | None:
    """Of the whole, else the sum of its parts; None where one has no price."""
    if build.price is not None:
        return money(build.price, build.id)
    each = [(money(market.parts[name].price, name), count) for name, count in build.parts.items()]
    if any(price is None for price, _ in each):
        return None
    prices = [price.times(count) for price, count in each if price is not None]
    ends = [
        (price.value if price.low is None else price.low, price.value if price.high is None else price.high)
        for price in prices
    ]
    value = math.fsum(price.value for price in prices)
    # Spreads of parts are independent, so they add as squares.
    below, above = (
        math.sqrt(math.fsum((end[side] - price.value) ** 2 for end, price in zip(ends, prices, strict=True)))
        for side in (0, 1)
    )
    has_spread = below > 0 or above > 0
    return Quantity(
        name=f"price of {build.id}", value=value, low=value - below if has_spread else None,
        high=value + above if has_spread else None, level=0.8, note=tr("sum of its parts"),
        origin=max((price.origin for price in prices), key=ORDER.index),
    )


def _machine(build: Build, market: Market) -> Candidate:
    parts = [(market.parts[name], count) for name, count in build.parts.items()]
    working = [(part, count) for part, count in parts if part.kind in ("gpu", "accelerator")] or [
        (part, count) for part, count in parts if part.kind == "cpu"]
    reason, device, devices = "", None, 0
    if len(working) == 1:
        device, devices = _device(working[0][0]), working[0][1]
    else:
        reason = tr("it has no part that computes") if not working else tr("it has cards of several kinds")
    part = working[0][0] if len(working) == 1 else None
    return Candidate(
        id=build.id, name=build.id, kind=Kind.MACHINE, device=device, devices=devices,
        money=build_price(build, market), rated_w=None if part is None else _times(part.tdp_w, devices),
        memory_bytes=None if part is None else _times(part.memory_gb, GIB), build=build, reason=reason,
        link_bytes_per_s=None if part is None else link_of(build, part, devices, market),
    )


def link_of(build: Build, part: Part, devices: int, market: Market) -> float | None:
    """Bytes/s of the narrowest slot; None where generation or lanes are not known, or the cards do not go in."""
    from bench.analysis.box import widths

    cpu = next((market.parts[name] for name in build.parts if market.parts[name].kind == "cpu"), None)
    if cpu is None or cpu.pcie_lanes is None or cpu.pcie_generation is None or part.pcie_generation is None:
        return None
    found = widths(devices, cpu.pcie_lanes, other_lanes(build, market))
    if found is None:
        return None
    lanes = min(found[-1], part.pcie_lanes or found[-1])
    return cards.pcie_bytes_per_s(min(cpu.pcie_generation, part.pcie_generation), lanes)


def other_lanes(build: Build, market: Market) -> int:
    """Of what is neither CPU nor card."""
    return sum(
        (market.parts[name].pcie_lanes or 0) * count for name, count in build.parts.items()
        if market.parts[name].kind not in ("cpu", "gpu", "accelerator")
    )


def _rented(offer: Offer) -> Candidate:
    device, devices, reason, card = None, 0, "", None
    if offer.device_name is not None and not offer.gpus:
        device, devices = Device(name=offer.device_name), 1
    elif len(offer.gpus) == 1:
        what, devices = offer.gpus[0]
        card = what if isinstance(what, Card) else None
        device = Device(name=what.name if isinstance(what, Card) else what, card=card)
    else:
        reason = tr("it has cards of several kinds") if offer.gpus else tr("it names no device that computes")
    memory = _times(offer.memory_per_gpu_gb, GIB) or (None if card is None else card.memory_bytes)
    return Candidate(
        id=offer.id, name=offer.id, kind=Kind.RENTED, device=device, devices=devices,
        money=money(offer.price_per_hour, offer.id),
        rated_w=None if card is None else _times(card.tdp_w, devices), memory_bytes=memory, link_bytes_per_s=None,
        offer=offer, reason=reason,
    )


# Throughput of a candidate --------------------------------------------------------------------------------------------


def rate(
    candidate: Candidate, workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network]
) -> Rated:
    """What is measured, entered or quoted of just this; else of one of its devices, scaled; else predicted."""
    own = of_workload(known, workload)
    device = candidate.device
    if device is None:
        return _unknown(candidate, candidate.reason)
    if (found := _best(own, device, candidate.devices)) is not None:
        return _as_known(candidate, found)
    single = _best(own, device, 1)
    if single is not None:
        return _scaled(candidate, workload, _as_known(candidate, single), networks)
    if device.card is None:
        words = tr("nothing is known of {device} for this, and it has no specification to predict from",
                   device=device.name)
        return _unknown(candidate, words)
    references = [each for each in own if each.devices == 1]
    return _scaled(candidate, workload, _predicted(candidate, device.card, workload, references), networks)


def _best(own: Iterable[Figure], device: Device, devices: int) -> Figure | None:
    """The fastest software of what is best known."""
    found = [
        each for each in own
        if each.devices == devices and (each.device.id == device.id or each.device.name == device.name)
    ]
    return min(found, key=lambda each: (ORDER.index(each.origin), -each.samples_per_s.value), default=None)


def _unknown(candidate: Candidate, *reasons: str) -> Rated:
    return Rated(
        candidate=candidate, samples_per_s=None, reasons=reasons, software="", power_w=None, power_origin=None
    )


def _as_known(candidate: Candidate, figure: Figure) -> Rated:
    count = "" if figure.devices == 1 else tr(" on {n} devices", n=figure.devices)
    said = f"{word(figure.origin)}{count}, {figure.software}" + (
        f"; {figure.samples_per_s.note}" if figure.origin is not Origin.MEASURED else "")
    power, origin = figure.power_w, figure.origin
    if power is None:
        power, origin = _times(candidate.rated_w, figure.devices / max(candidate.devices, 1)), Origin.QUOTED
    return Rated(
        candidate=candidate, samples_per_s=figure.samples_per_s, reasons=(said,), software=figure.software,
        power_w=power, power_origin=None if power is None else origin, is_few=figure.is_few,
    )


def _predicted(candidate: Candidate, card: Card, workload: Workload, references: Sequence[Figure]) -> Rated:
    found: Prediction | Refusal = predicted(
        [
            Reference(
                card=each.device.card, samples_per_s=each.samples_per_s.value, precision=workload.precision,
                software=each.software, busy_ratio=each.busy_ratio, device=each.device.name,
            )
            for each in references if each.device.card is not None
        ],
        card,
    )
    if isinstance(found, Refusal):
        return _unknown(candidate, tr("not predicted: {reason}", reason=found.reason))
    return Rated(
        candidate=candidate, reasons=found.reasons, software=f"as {found.software}" if found.software else "",
        samples_per_s=Quantity(
            name=f"{workload.label} on {card.key}, predicted", value=found.value, low=found.low, high=found.high,
            level=0.8, origin=Origin.PREDICTED, note=found.method,
        ),
        power_w=card.tdp_w, power_origin=None if card.tdp_w is None else Origin.QUOTED,
    )


def _scaled(candidate: Candidate, workload: Workload, single: Rated, networks: Mapping[str, Network]) -> Rated:
    """From one of a candidate's devices to all of them."""
    count = candidate.devices
    if count == 1 or single.samples_per_s is None:
        return single
    modelled = speed_up(count, workload, single.samples_per_s.value, networks, candidate.link_bytes_per_s)
    if isinstance(modelled, str):
        return _unknown(candidate, *single.reasons, modelled)
    low, high, words = modelled
    of, middle = single.samples_per_s, math.sqrt(low * high)
    own = NORMAL[0.8] / NORMAL[of.level]
    spreads = [
        math.hypot(math.log(middle / low), 0.0 if of.low is None else own * math.log(of.value / of.low)),
        math.hypot(math.log(high / middle), 0.0 if of.high is None else own * math.log(of.high / of.value)),
    ]
    value = of.value * middle
    return replace(
        single, reasons=(*single.reasons, words), power_w=_times(single.power_w, count),
        samples_per_s=Quantity(
            name=of.name, value=value, low=value * math.exp(-spreads[0]),
            high=value * math.exp(spreads[1]), level=0.8, origin=Origin.PREDICTED, note="scaled",
        ),
    )


def speed_up(
    devices: int, workload: Workload, samples_per_s: float, networks: Mapping[str, Network],
    link_bytes_per_s: float | None,
) -> tuple[float, float, str] | str:
    """(low, high, from what in words) of so many devices over one; a sentence where it cannot be told.

    Inference shares nothing. In training gradients go around a ring: low is with all of that after the backward pass,
    high with all of it hidden behind.
    """
    if workload.mode == Mode.INFERENCE:
        return devices, devices, tr("{n} devices answer on their own: {n}x one", n=devices)
    network = networks.get(workload.model)
    if network is None or workload.local_batch is None:
        what = tr("how many parameters the network has") if network is None else tr("its batch")
        return tr("how {n} devices scale cannot be told, since {what} is not known; measure two with --world-size 1,2",
                  n=devices, what=what)
    link = link_bytes_per_s or cards.pcie_bytes_per_s(3, USUAL_LANES)
    said = "" if link_bytes_per_s else tr(", taken to be PCIe 3.0 with {lanes} lanes", lanes=USUAL_LANES)
    step_s = workload.local_batch / samples_per_s
    sent_s = cost.ring_time_s(4.0 * network.parameters, devices, link)
    low, high = (
        cost.scaled_speed_up(devices, step_time_s=step_s, communication_s=sent_s, hidden_share=hidden)
        for hidden in (0.0, 1.0)
    )
    return low, high, tr(
        "{n} devices give {low:.2f}x to {high:.2f}x of one: gradients of {gradients:.0f} MB take {sent:.0f} ms on a "
        "link of {link:.1f} GB/s{said}, in a step of {step:.0f} ms, after or behind the backward pass",
        n=devices, low=low, high=high, gradients=4e-6 * network.parameters, sent=1e3 * sent_s, link=link / 1e9,
        said=said, step=1e3 * step_s,
    )


# Prices and their age -------------------------------------------------------------------------------------------------


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
