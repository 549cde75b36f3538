"""Which hardware does a network's work for the least money: from what is known of it to what may be said.

A workload is what must be equal for two speeds to be held against each other: network, mode, precision, batch on each
device, data. Software may differ, and is named beside every figure. Measured figures are the user's own; quoted and
entered ones come with ``hardware.toml``; the rest is predicted, and never wins alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import cost, formatting
from bench.analysis.document import Origin, Standing
from bench.analysis.prediction import Prediction, Reference, Refusal, predicted
from bench.analysis.quantity import NORMAL, Draws, Quantity, Spread, chance_in_words, chances_of_most
from bench.analysis.quantity import of_another_unit, spread, standing
from bench.analysis.statistics import FEWEST_FOR_INTERVAL
from bench.analysis.summary import is_nothing
from bench.analysis.telemetry import Validity, seen
from bench.isa import Isa
from bench.offers import OLD_DAYS, Build, Confidence, Market, Offer, Part, Price, Range, Throughput, cards
from bench.offers.cards import GIB, Card
from bench.words import Mode, Outcome, TrialKind, UserError

FAR = 1.33                   # times as fast as all the small ones together: no question any more
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
    only_from: str | None = None         # the source, where the batch is not stated: only its own figures are alike

    @property
    def label(self) -> str:
        batch = "batch not stated" if self.local_batch is None else f"batch {self.local_batch} on each device"
        graph = "" if self.graph is None else f", graph {self.graph[:8]}"
        return f"{self.model} {self.mode}, {self.precision}, {batch}, {self.data} data{graph}"


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


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates of one kind for one workload, the most for the money first."""

    workload: Workload
    kind: Kind
    rated: tuple[Rated, ...]
    standing: Standing
    words: str                           # the answer


# From what is stored and entered --------------------------------------------------------------------------------------


def figures(results: pd.DataFrame, trials: pd.DataFrame, market: Market) -> tuple[list[Figure], list[str]]:
    """Every usable throughput, and a sentence for each GPU that no one specification fits."""
    problems: dict[str, None] = {}
    found = [*_stored(results, trials, problems), *(_entered(each) for each in market.throughputs)]
    return found, list(problems)


def _stored(results: pd.DataFrame, trials: pd.DataFrame, problems: dict[str, None]) -> Iterator[Figure]:
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
        device = _device_of(row, machines.get(row["machine"], {}), is_cpu, problems)
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
    row: Mapping[str, Any], machine: Mapping[str, Any], is_cpu: bool, problems: dict[str, None]
) -> Device | None:
    if is_cpu:
        return Device(name=str(row["device_name"]))
    gpus = machine.get("gpus") or []
    index = int(str(row["device"]).partition(":")[2] or 0)
    if index >= len(gpus):
        problems[f"a figure of {row['model']} ran on {row['device']}, whose name its record does not hold"] = None
        return None
    name = str(gpus[index])
    try:
        return Device(name=name, card=cards.by_name(name))
    except UserError as error:
        problems[str(error)] = None
        return Device(name=name)


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
        samples_per_s=quantity(each.samples_per_s, each.id), software=each.software or "software not stated",
        power_w=each.power_w, busy_ratio=each.busy_ratio, is_cpu=card is None, trials=None,
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
        high=value + above if has_spread else None, level=0.8, note="sum of its parts",
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
        reason = "it has no part that computes" if not working else "it has cards of several kinds"
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
        reason = "it has cards of several kinds" if offer.gpus else "it names no device that computes"
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
        return _unknown(candidate, f"nothing is known of {device.name} for this, and it has no specification to predict "
                                   "from")
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
    count = "" if figure.devices == 1 else f" on {figure.devices} devices"
    said = f"{figure.origin}{count}, {figure.software}" + (
        f"; {figure.samples_per_s.note}" if figure.origin is not Origin.MEASURED else "")
    power, origin = figure.power_w, figure.origin
    if power is None:
        power, origin = _times(candidate.rated_w, figure.devices / max(candidate.devices, 1)), Origin.QUOTED
    return Rated(
        candidate=candidate, samples_per_s=figure.samples_per_s, reasons=(said,), software=figure.software,
        power_w=power, power_origin=None if power is None else origin, is_few=figure.is_few,
    )


def _predicted(candidate: Candidate, card: Card, workload: Workload, references: Sequence[Figure]) -> Rated:
    software = references[0].software if references else ""
    found: Prediction | Refusal = predicted(
        [
            Reference(
                card=each.device.card, samples_per_s=each.samples_per_s.value, precision=workload.precision,
                software=each.software, busy_ratio=each.busy_ratio, device=each.device.name,
            )
            for each in references if each.device.card is not None
        ],
        card, software,
    )
    if isinstance(found, Refusal):
        return _unknown(candidate, f"not predicted: {found.reason}")
    return Rated(
        candidate=candidate, reasons=found.reasons, software=f"as {software}" if software else "",
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
        return devices, devices, f"{devices} devices answer on their own: {devices}x one"
    network = networks.get(workload.model)
    if network is None or workload.local_batch is None:
        what = "how many parameters the network has" if network is None else "its batch"
        return f"how {devices} devices scale cannot be told, since {what} is not known; measure two with --world-size 1,2"
    link = link_bytes_per_s or cards.pcie_bytes_per_s(3, USUAL_LANES)
    said = "" if link_bytes_per_s else f", taken to be PCIe 3.0 with {USUAL_LANES} lanes"
    step_s = workload.local_batch / samples_per_s
    sent_s = cost.ring_time_s(4.0 * network.parameters, devices, link)
    low, high = (
        cost.scaled_speed_up(devices, step_time_s=step_s, communication_s=sent_s, hidden_share=hidden)
        for hidden in (0.0, 1.0)
    )
    return low, high, (
        f"{devices} devices give {low:.2f}x to {high:.2f}x of one: gradients of {4e-6 * network.parameters:.0f} MB take "
        f"{1e3 * sent_s:.0f} ms on a link of {link / 1e9:.1f} GB/s{said}, in a step of {1e3 * step_s:.0f} ms, after or "
        "behind the backward pass"
    )


# Throughput for the money ---------------------------------------------------------------------------------------------


def rankings(
    all_candidates: Sequence[Candidate], workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network]
) -> list[Ranking]:
    """One for each kind of candidate that there is."""
    found = []
    for kind in Kind:
        own = [each for each in all_candidates if each.kind is kind]
        if own:
            found.append(_ranked(workload, kind, [rate(each, workload, known, networks) for each in own]))
    return found


def _ranked(workload: Workload, kind: Kind, rated: Sequence[Rated]) -> Ranking:
    per_unit = cost.SECONDS_OF_AN_HOUR if kind is Kind.RENTED else 1.0      # an hour's samples, or samples/s
    priced: list[tuple[int, Draws]] = []
    judged = list(rated)
    for index, each in enumerate(rated):
        price, speed = each.candidate.money, each.samples_per_s
        if price is None or speed is None or not price.value:
            continue
        draws = per_unit * each.draws() / price.draws()
        judged[index] = replace(each, per_money=spread(per_unit * speed.value / price.value, draws))
        priced.append((index, draws))
    can_judge = len(priced) > 1 and not any(judged[index].is_few for index, _ in priced)
    if can_judge:
        chances = chances_of_most([draws for _, draws in priced])
        for (index, _), chance in zip(priced, chances, strict=True):
            judged[index] = replace(judged[index], chance=chance)
    judged = _with_front(judged)
    judged.sort(key=lambda each: (-(each.per_money.value if each.per_money else 0.0),
                                  -(each.samples_per_s.value if each.samples_per_s else 0.0)))
    return Ranking(workload=workload, kind=kind, rated=tuple(judged), **_judgement(judged))


def _with_front(rated: Sequence[Rated]) -> list[Rated]:
    places = [
        index for index, each in enumerate(rated)
        if each.candidate.money is not None and each.samples_per_s is not None
    ]
    points = []
    for index in places:
        price, speed = rated[index].candidate.money, rated[index].samples_per_s
        assert price is not None
        assert speed is not None
        points.append((-price.value, speed.value, rated[index].candidate.memory_bytes or 0.0))
    found = list(rated)
    for index, is_on_front in zip(places, cost.pareto_front(points), strict=True):
        found[index] = replace(found[index], is_on_front=is_on_front)
    return found


def _judgement(rated: Sequence[Rated]) -> dict[str, Any]:
    """The standing of the first, and the answer in words."""
    priced = [each for each in rated if each.per_money is not None]
    if not priced:
        lacking = ["no price given" if all(each.candidate.money is None for each in rated) else
                   "no throughput known of what has a price"]
        return {"standing": Standing.NOTHING, "words": f"Nothing can be said of value for money: {lacking[0]}."}
    first = priced[0]
    if len(priced) == 1:
        words = f"Only {first.candidate.name} has both a price and a throughput."
        return {"standing": Standing.ALONE, "words": words}
    if first.chance is None:
        few = [each.candidate.name for each in priced if each.is_few]
        words = (f"{first.candidate.name} is ahead, but {formatting.listed(few)} was measured in fewer than "
                 f"{FEWEST_FOR_INTERVAL} trials, so that no chance can be told.")
        return {"standing": Standing.FEW, "words": words}
    best = max(priced, key=lambda each: each.chance or 0.0)
    assert best.chance is not None
    is_predicted = best.origin is Origin.PREDICTED
    found = standing(best.chance, is_predicted=is_predicted)
    others = [each for each in priced if each is not best]
    second = max(others, key=lambda each: each.per_money.value if each.per_money else 0.0)
    assert best.per_money is not None
    assert second.per_money is not None
    times = formatting.significant(best.per_money.value / second.per_money.value, 2)
    lead = {
        Standing.CLEAR: f"{best.candidate.name} gives the most for the money, {times}x {second.candidate.name}",
        Standing.LIKELY: f"{best.candidate.name} likely gives the most for the money, {times}x {second.candidate.name}",
    }.get(found, f"{best.candidate.name} and {second.candidate.name} are too close to call ({times}x)")
    words = f"{lead}; the chance that it is the best of {len(priced)} is {chance_in_words(best.chance)}."
    unlike = {each.software.removeprefix("as ") for each in priced}
    if len(unlike) > 1:
        words += " The software differs too, so this is not the hardware's doing alone."
    if is_predicted:
        words += " Its throughput is predicted, so it wins nothing alone: measure before you buy."
    return {"standing": found, "words": words}


# CPU or GPU; one big or several small ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CpuOrGpu:
    """The best CPU and the best GPU for a network; a ratio only where their workloads are alike."""

    cpu: Figure
    gpu: Figure
    ratio: float | None                  # GPU over CPU; None: batch, data or precision differ


def cpu_or_gpu(known: Sequence[Figure]) -> list[CpuOrGpu]:
    found = []
    for model, mode in sorted({(each.workload.model, each.workload.mode) for each in known}):
        own = [each for each in known if (each.workload.model, each.workload.mode) == (model, mode)
               and each.devices == 1]
        cpus, gpus = [each for each in own if each.is_cpu], [each for each in own if not each.is_cpu]
        pairs = [(cpu, gpu) for cpu in cpus for gpu in gpus if cpu.workload == gpu.workload]
        if pairs:
            cpu, gpu = max(pairs, key=lambda pair: (pair[1].samples_per_s.value, pair[0].samples_per_s.value))
            found.append(CpuOrGpu(cpu=cpu, gpu=gpu, ratio=gpu.samples_per_s.value / cpu.samples_per_s.value))
        elif cpus and gpus:
            cpu, gpu = (max(side, key=lambda each: each.samples_per_s.value) for side in (cpus, gpus))
            found.append(CpuOrGpu(cpu=cpu, gpu=gpu, ratio=None))
    return found


@dataclass(frozen=True, kw_only=True)
class OneOrMany:
    """One large card against several small ones, for a workload."""

    workload: Workload
    big: Rated
    small: Rated                         # one of them
    many: Rated                          # all of them
    chance: float | None                 # that the many are faster; None: too few trials
    standing: Standing
    words: str


def one_or_many(
    all_candidates: Sequence[Candidate], workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network],
    count: int = 2,
) -> list[OneOrMany]:
    """For each pair of cards of which one is faster, against ``count`` of the slower, unless it is far ahead of all."""
    alone = [each for each in all_candidates if each.kind is Kind.CARD and each.device and each.device.card]
    rated = {each.id: rate(each, workload, known, networks) for each in alone}
    found = []
    for small in alone:
        many = rate(replace(small, devices=count, rated_w=_times(small.rated_w, count)), workload, known, networks)
        for big in alone:
            one, of = rated[big.id], rated[small.id]
            if one.samples_per_s is None or of.samples_per_s is None or many.samples_per_s is None:
                continue
            if of.samples_per_s.value < one.samples_per_s.value < count * FAR * of.samples_per_s.value:
                found.append(_one_or_many(workload, one, of, many, count))
    return found


def _one_or_many(workload: Workload, big: Rated, small: Rated, many: Rated, count: int) -> OneOrMany:
    assert big.samples_per_s is not None
    assert many.samples_per_s is not None
    chance = None
    if not (big.is_few or many.is_few):
        chance = float(np.mean(many.draws() > big.draws()))
    names = f"{count} {small.candidate.name}", big.candidate.name
    ratio = formatting.significant(many.samples_per_s.value / big.samples_per_s.value, 2)
    is_predicted = Origin.PREDICTED in (big.origin, many.origin)
    stands = Standing.FEW if chance is None else standing(max(chance, 1 - chance), is_predicted=is_predicted)
    words = [f"{names[0]} do {ratio}x the samples/s of one {names[1]}"]
    if chance is not None:
        words[0] += f" (chance of more: {chance_in_words(chance)})"
    sizes = [each.candidate.memory_bytes for each in (small, big)]
    if sizes[0] is not None and sizes[1] is not None:
        words.append(f"memory is not pooled: a batch must fit into {sizes[0] / GIB:.0f} GB on each, against "
                     f"{sizes[1] / GIB:.0f} GB")
    prices = [each.candidate.money for each in (small, big)]
    if prices[0] is not None and prices[1] is not None:
        words.append(f"they cost {formatting.significant(count * prices[0].value / prices[1].value, 2)}x as much")
    if many.power_w and big.power_w:
        words.append(f"they draw {many.power_w:.0f} W against {big.power_w:.0f} W")
    return OneOrMany(
        workload=workload, big=big, small=small, many=many, chance=chance, standing=stands, words="; ".join(words) + ".",
    )


# Prices and their age -------------------------------------------------------------------------------------------------


def doubts_of_prices(market: Market, today: date) -> list[str]:
    """A sentence on how old the prices are, on those without a date, and on exchange rates."""
    ages = sorted({age for price in market.prices if (age := price.age_days(today)) is not None})
    found = []
    if ages:
        oldest = ages[-1]
        words = formatting.count(oldest, "day") if oldest < 730 else f"{oldest / 365.25:.1f} years"
        warning = "" if oldest <= OLD_DAYS else f"; after {OLD_DAYS} days they are no advice for today, look them up anew"
        found.append(f"Prices are up to {words} old{warning}.")
    if undated := sum(price.as_of is None for price in market.prices):
        found.append(f"{formatting.count(undated, 'price')} without a date: how old, nobody can tell.")
    if market.rates:
        found.append(f"Exchange rates used: {'; '.join(market.rates)}.")
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
