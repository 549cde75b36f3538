"""What can be bought or rented: GPUs and CPUs, machines made of parts, and machines for rent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rigmark.bench.buying.box import widths
from rigmark.bench.buying.offers.market import Build, Market, Offer, Part
from rigmark.bench.buying.pricing import money
from rigmark.bench.buying.quantity import Quantity, multiple
from rigmark.bench.buying.terms import ORDER, Candidate, Device, Figure, Kind
from rigmark.bench.document.language import tr
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import GIB, Card


def candidates(market: Market, more: Iterable[Card] = (), known: Iterable[Figure] = ()) -> list[Candidate]:
    """Every GPU, machine and offer; ``more`` GPUs have no price, nor have devices that are only known by figures."""
    every = [_card_alone(part, market) for part in market.parts.values() if part.kind in ("gpu", "cpu", "accelerator")]
    met = {each.device.card.key for each in every if each.device is not None and each.device.card is not None}
    every += [
        Candidate(
            id=card.key, name=card.name, kind=Kind.CARD, device=Device(name=card.name, card=card), devices=1,
            money=None, rated_w=card.tdp_w, memory_bytes=card.memory_bytes, link_bytes_per_s=None,
        )
        for card in more if card.key not in met
    ]
    every += _seen(known, every)
    every += [_machine(build, market) for build in market.builds.values()]
    return every + [_rented(offer) for offer in market.offers.values()]


def _seen(known: Iterable[Figure], listed: Sequence[Candidate]) -> list[Candidate]:
    """One candidate per measured device that is not listed; the user may already own it."""
    met = {name for each in listed if each.device is not None for name in (each.device.id, each.device.name)}
    devices = {figure.device.id: figure.device for figure in known
               if figure.device.id not in met and figure.device.name not in met}
    return [
        Candidate(
            id=key, name=device.name if device.card is None else device.card.name, kind=Kind.CARD, device=device,
            devices=1, money=None, rated_w=None if device.card is None else device.card.tdp_w,
            memory_bytes=None if device.card is None else device.card.memory_bytes, link_bytes_per_s=None,
        )
        for key, device in devices.items()
    ]


def _card_alone(part: Part, market: Market) -> Candidate:
    return Candidate(
        id=part.id, name=part.name, kind=Kind.CARD, device=_device(part), devices=1,
        money=money(part.price, part.id), rated_w=part.tdp_w, memory_bytes=multiple(part.memory_gb, GIB),
        link_bytes_per_s=None, part=part,
    )


def _device(part: Part) -> Device:
    return Device(name=part.device_name or part.name, card=part.card)


def build_price(build: Build, market: Market) -> Quantity | None:
    """The price of the whole machine, else the sum of its parts; None if a part has no price."""
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
    # Spreads of parts are independent, so their squares add up.
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
        reason = tr("it has no part that can compute") if not working else tr("it has GPUs of several kinds")
    part = working[0][0] if len(working) == 1 else None
    return Candidate(
        id=build.id, name=build.id, kind=Kind.MACHINE, device=device, devices=devices,
        money=build_price(build, market), rated_w=_rated_w(working),
        memory_bytes=None if part is None else multiple(part.memory_gb, GIB), build=build, reason=reason,
        link_bytes_per_s=None if part is None else link_of(build, part, devices, market),
    )


def _rated_w(working: Iterable[tuple[Part, int]]) -> float | None:
    """Rated power of all computing devices, of one kind or several; None if that of any is not known."""
    each = [multiple(part.tdp_w, count) for part, count in working]
    known = [watts for watts in each if watts is not None]
    return math.fsum(known) if each and len(known) == len(each) else None


def link_of(build: Build, part: Part, devices: int, market: Market) -> float | None:
    """Bytes/s of the narrowest slot; None if generation or lanes are not known, or if there are too few lanes."""
    cpu = next((market.parts[name] for name in build.parts if market.parts[name].kind == "cpu"), None)
    if cpu is None or cpu.pcie_lanes is None or cpu.pcie_generation is None or part.pcie_generation is None:
        return None
    shared = widths(devices, cpu.pcie_lanes, other_lanes(build, market))
    if shared is None:
        return None
    lanes = min(shared[-1], part.pcie_lanes or shared[-1])
    return gpu_specifications.pcie_bytes_per_s(min(cpu.pcie_generation, part.pcie_generation), lanes)


def other_lanes(build: Build, market: Market) -> int:
    """Lanes taken by parts that are neither CPU nor GPU."""
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
        reason = tr("it has GPUs of several kinds") if offer.gpus else tr("it names no computing device")
    memory = multiple(offer.memory_per_gpu_gb, GIB) or (None if card is None else card.memory_bytes)
    return Candidate(
        id=offer.id, name=offer.id, kind=Kind.RENTED, device=device, devices=devices,
        money=money(offer.price_per_hour, offer.id),
        rated_w=None if card is None else multiple(card.tdp_w, devices), memory_bytes=memory, link_bytes_per_s=None,
        offer=offer, reason=reason,
    )
