"""The throughput of a candidate for a workload: measured, entered or quoted; scaled from one device; or predicted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rigmark.bench.buying import cost
from rigmark.bench.buying.known_figures import NOT_STATED, of_workload, surest
from rigmark.bench.buying.prediction import Prediction, Reference, Refusal, predicted
from rigmark.bench.buying.quantity import NORMAL, Quantity, multiple
from rigmark.bench.buying.terms import ORDER, Candidate, Device, Figure, Network, Rated, Workload
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Mode
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card

USUAL_LANES = 8              # of each of two GPUs on a usual board
SHARED_HOST = 0.8            # an assumption: share of the speed alone if one host feeds several devices


def rate(
    candidate: Candidate, workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network]
) -> Rated:
    """The measured, entered or quoted throughput; else that of one of its devices, scaled; else a prediction."""
    own = surest(of_workload(known, workload))
    device = candidate.device
    if device is None:
        return unknown(candidate, candidate.reason)
    if (best := _best(own, device, candidate.devices)) is not None:
        return _as_known(candidate, best)
    single = _best(own, device, 1)
    if single is not None:
        return _scaled(candidate, workload, _as_known(candidate, single), networks)
    if device.card is None:
        text = tr("nothing is known of {device} for this, and it has no specification to predict from",
                  device=device.name)
        return unknown(candidate, text)
    references = [each for each in own if each.devices == 1]
    return _scaled(candidate, workload, _predicted(candidate, device.card, workload, references), networks)


def _best(own: Iterable[Figure], device: Device, devices: int) -> Figure | None:
    """The figure of the best known origin, with the fastest software."""
    fitting = [
        each for each in own
        if each.devices == devices and (each.device.id == device.id or each.device.name == device.name)
    ]
    return min(fitting, key=lambda each: (ORDER.index(each.origin), -each.samples_per_s.value), default=None)


def unknown(candidate: Candidate, *reasons: str) -> Rated:
    """The rating of a candidate about which nothing is known, with the reasons."""
    return Rated(
        candidate=candidate, samples_per_s=None, reasons=reasons, software="", power_w=None, power_origin=None
    )


def _as_known(candidate: Candidate, figure: Figure) -> Rated:
    count = "" if figure.devices == 1 else tr(" on {n} devices", n=figure.devices)
    text = f"{word(figure.origin)}{count}, {figure.software}" + (
        f"; {figure.samples_per_s.note}" if figure.origin is not Origin.MEASURED else "")
    power, origin = figure.power_w, figure.origin
    if power is None:
        power, origin = multiple(candidate.rated_w, figure.devices / max(candidate.devices, 1)), Origin.QUOTED
    return Rated(
        candidate=candidate, samples_per_s=figure.samples_per_s, reasons=(text,), software=figure.software,
        power_w=power, power_origin=None if power is None else origin, is_few=figure.is_few,
    )


def _predicted(candidate: Candidate, card: Card, workload: Workload, references: Sequence[Figure]) -> Rated:
    prediction: Prediction | Refusal = predicted(
        [
            Reference(
                card=each.device.card, samples_per_s=each.samples_per_s.value, precision=workload.precision,
                software="" if each.software == tr(NOT_STATED) else each.software, busy_ratio=each.busy_ratio,
                step_time_s=multiple(workload.local_batch, 1 / each.samples_per_s.value), device=each.device.name,
            )
            for each in references if each.device.card is not None
        ],
        card,
    )
    if isinstance(prediction, Refusal):
        return unknown(candidate, tr("not predicted: {reason}", reason=prediction.reason))
    return Rated(
        candidate=candidate, reasons=prediction.reasons, software=_as(prediction.software),
        samples_per_s=Quantity(
            name=f"{workload.label} on {card.key}, predicted",
            value=prediction.value, low=prediction.low, high=prediction.high,
            level=0.8, origin=Origin.PREDICTED, note=prediction.method,
        ),
        power_w=card.tdp_w, power_origin=None if card.tdp_w is None else Origin.QUOTED,
    )


def _as(software: str) -> str:
    """The software of a prediction in words: that of its basis, if stated."""
    return f"as {software}" if software else tr(NOT_STATED)


def _scaled(candidate: Candidate, workload: Workload, single: Rated, networks: Mapping[str, Network]) -> Rated:
    """The rating of all devices of a candidate, scaled from one of them."""
    count = candidate.devices
    if count == 1 or single.samples_per_s is None:
        return single
    modelled = speed_up(count, workload, single.samples_per_s.value, networks, candidate.link_bytes_per_s)
    if isinstance(modelled, str):
        return unknown(candidate, *single.reasons, modelled)
    low, high, words = modelled
    of, middle = single.samples_per_s, math.sqrt(low * high)
    own = NORMAL[0.8] / NORMAL[of.level]
    spreads = [
        math.hypot(math.log(middle / low), 0.0 if of.low is None else own * math.log(of.value / of.low)),
        math.hypot(math.log(high / middle), 0.0 if of.high is None else own * math.log(of.high / of.value)),
    ]
    value = of.value * middle
    return replace(
        single, reasons=(*single.reasons, words), power_w=multiple(single.power_w, count),
        samples_per_s=Quantity(
            name=of.name, value=value, low=value * math.exp(-spreads[0]),
            high=value * math.exp(spreads[1]), level=0.8, origin=Origin.PREDICTED, note="scaled",
        ),
    )


def speed_up(
    devices: int, workload: Workload, samples_per_s: float, networks: Mapping[str, Network],
    link_bytes_per_s: float | None,
) -> tuple[float, float, str] | str:
    """(low, high, basis in words) of the speed-up of several devices over one; a sentence if it is not known.

    In inference the devices share only the host. In training gradients are summed in a ring: low if all of that happens
    after the backward pass, high if all of it overlaps with it.
    """
    if workload.mode == Mode.INFERENCE:
        return SHARED_HOST * devices, devices, tr(
            "{n} devices work independently: at most {n}x one; {low:.2g}x is assumed because they share a processor "
            "and links", n=devices, low=SHARED_HOST * devices)
    network = networks.get(workload.model)
    if network is None or workload.local_batch is None:
        what = tr("the network's number of parameters") if network is None else tr("its batch")
        return tr("it is not known how {n} devices scale, because {what} is not known; measure two with --world-size "
                  "1,2",
                  n=devices, what=what)
    link = link_bytes_per_s or gpu_specifications.pcie_bytes_per_s(3, USUAL_LANES)
    text = "" if link_bytes_per_s else tr(", assumed to be PCIe 3.0 with {lanes} lanes", lanes=USUAL_LANES)
    step_s = workload.local_batch / samples_per_s
    sent_s = cost.ring_time_s(4.0 * network.parameters, devices, link)
    low, high = (
        cost.scaled_speed_up(devices, step_time_s=step_s, communication_s=sent_s, hidden_share=hidden)
        for hidden in (0.0, 1.0)
    )
    return low, high, tr(
        "{n} devices give {low:.2f}x to {high:.2f}x of one: sending gradients of {gradients:.0f} MB takes {sent:.0f} "
        "ms on a link of {link:.1f} GB/s{said}, in a step of {step:.0f} ms, after the backward pass or hidden behind "
        "it",
        n=devices, low=low, high=high, gradients=4e-6 * network.parameters, sent=1e3 * sent_s, link=link / 1e9,
        said=text, step=1e3 * step_s,
    )
