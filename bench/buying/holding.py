"""Checks of machines: whether they suit their GPUs (power, connectors, slots, lanes, links), and keep their speed.

Most checks use data sheets; those of links and heat also use measurements.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results import pcie_links
from rigmark.bench.analysis.results.observed import seen
from rigmark.bench.analysis.results.pcie_links import Link
from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.analysis.results.validity import judge
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.buying import box
from rigmark.bench.buying.box import Endurance
from rigmark.bench.buying.candidates import link_of, other_lanes
from rigmark.bench.buying.offers.market import Build, Market, Part
from rigmark.bench.buying.rating import rate
from rigmark.bench.buying.terms import Candidate, Figure, Network, Workload
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Mode, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import OVERRIDE

SUPPLY, PLUGS, SLOTS, LANES = (
    tr_later("power supply"), tr_later("power connectors"), tr_later("slots"), tr_later("PCIe lanes")
)
USUAL_BASE_W = 75.0          # board, memory, disks and fans, if not stated; 75 to 100 W is usual


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of one machine; ``holds`` is None if it is not known."""

    build: str
    about: str
    holds: bool | None
    words: str
    origin: Origin               # origin of the numbers: QUOTED for data sheets


def checks(
    market: Market, candidates: Sequence[Candidate] = (), workloads: Sequence[Workload] = (),
    known: Sequence[Figure] = (), networks: Mapping[str, Network] | None = None,
) -> list[Check]:
    """The checks of every machine, including how much of its links a workload needs, if known."""
    every: list[Check] = []
    for build in market.builds.values():
        parts = [(market.parts[name], count) for name, count in build.parts.items()]
        gpus = [part for part, count in parts if part.kind in ("gpu", "accelerator") for _ in range(count)]
        every += _supply(build, parts, gpus, market)
        every += _plugs(build, parts, gpus)
        every += _room(build, parts, gpus)
        every += _lanes(build, parts, gpus, market)
        every += [each for own in candidates if own.build is build for workload in workloads
                  for each in _links(own, workload, known, networks or {}, gpus, market)]
    return every


def in_words(failed: Sequence[Check]) -> dict[str, str]:
    """What is insufficient in each machine, by its id: "power supply and slots"."""
    abouts: dict[str, list[str]] = {}
    for each in failed:
        abouts.setdefault(each.build, []).append(tr(each.about))
    return {build: formatting.listed(words) for build, words in abouts.items()}


def _check(build: Build, about: str, holds: bool | None, words: str, origin: Origin = Origin.QUOTED) -> Check:
    return Check(build=build.id, about=about, holds=holds, words=words, origin=origin)


def _of(parts: Sequence[tuple[Part, int]], kind: str) -> list[Part]:
    return [part for part, count in parts if part.kind == kind for _ in range(count)]


def _supply(build: Build, parts: Sequence[tuple[Part, int]], gpus: Sequence[Part], market: Market) -> Iterator[Check]:
    cpus = _of(parts, "cpu")
    unknown = [part.id for part in (*cpus, *gpus) if part.tdp_w is None]
    if unknown or not cpus:
        lacking = tr("power of {names}", names=formatting.listed(unknown)) if unknown else tr("a CPU in its list of "
                                                                                              "parts")
        yield _check(build, SUPPLY, None, tr("not known without {what}", what=lacking))
        return
    base_w = USUAL_BASE_W if build.base_w is None else build.base_w
    need = box.supply(sum(part.tdp_w or 0 for part in cpus), [part.tdp_w or 0 for part in gpus], base_w)
    size = tr("no usual size is large enough") if need.size_w is None else tr("the next size is {n} W", n=need.size_w)
    taken = tr(" (75 W assumed for board, memory, disks and fans)") if build.base_w is None else ""
    text = tr("at full load {steady:.0f} W of rating for steady work at 80 %, {transient:.0f} W for peaks of the "
              "cards at 1.5x{taken}; {size}", steady=need.steady_w, transient=need.transient_w, taken=taken, size=size)
    rated = [part.rated_w for part in _of(parts, "psu") if part.rated_w is not None]
    suggested = [part.card.suggested_psu_w for part in gpus if part.card and part.card.suggested_psu_w]
    of_one = suggested[0] if len(suggested) == len(gpus) == 1 else None
    holds = None
    if rated:
        load_w = sum(part.tdp_w or 0 for part in (*cpus, *gpus)) + base_w
        holds, answer = _rated(sum(rated), load_w, need, of_one)
        text += tr("; it has {n:.0f} W, {answer}", n=sum(rated), answer=answer)
    elif of_one is not None:
        text += tr("; the database suggests {n:.0f} W for this GPU", n=of_one)
    yield _check(build, SUPPLY, holds, text)
    wall = (sum(part.tdp_w or 0 for part in (*cpus, *gpus)) + base_w) / market.energy.psu_efficiency
    if market.energy.circuit_w is not None:
        room = box.CIRCUIT_SHARE * market.energy.circuit_w
        yield _check(build, tr_later("wall circuit"), wall <= room,
                     tr("draws {wall:.0f} W of {room:.0f} W, 80 % of the circuit", wall=wall, room=room))


def _rated(rated_w: float, load_w: float, need: box.Supply, suggested_w: float | None) -> tuple[bool, str]:
    """Whether this rating is enough, and by what margin in words."""
    if rated_w >= need.needed_w:
        spare = [own for own in box.PSU_SIZES_W if need.needed_w <= own < rated_w]
        return True, tr("{sizes} to spare", sizes=formatting.count(len(spare), "size")) if spare else tr("just enough")
    if box.is_tight(rated_w, load_w, suggested_w):
        return True, tr("as the database suggests for this GPU, but tight: at full load {share} of it is used, and "
                        "it must withstand peaks of milliseconds, as power supplies of ATX 3.0 and later do",
                        share=formatting.share(load_w / rated_w))
    more = "" if suggested_w is None else tr("; the database suggests {n:.0f} W for this GPU", n=suggested_w)
    return False, tr("too little{more}", more=more)


def _plugs(build: Build, parts: Sequence[tuple[Part, int]], gpus: Sequence[Part]) -> Iterator[Check]:
    needed = [plug for part in gpus for plug in part.plugs]
    there = [plug for part in _of(parts, "psu") for plug in part.plugs]
    if not needed:
        return
    wanted = formatting.listed([f"{needed.count(plug)} x {plug}" for plug in dict.fromkeys(needed)])
    if any(part.card is not None and part.card.origin_of("plugs") != OVERRIDE for part in gpus):
        wanted += tr(" (from the database; the card of another manufacturer may have others: state them as 'plugs' "
                     "of the part)")
    if not there:
        yield _check(build, PLUGS, None, tr(
            "the GPUs need {plugs}; the connectors of the power supply are not stated", plugs=wanted))
        return
    missing = box.missing_plugs(needed, there)
    joined = box.adapted_plugs(
        [part.tdp_w for part in gpus for plug in part.plugs if plug in box.ADAPTED], needed, there)
    answer = tr("it has them") if not missing else tr("missing: {missing}", missing=", ".join(missing))
    if joined:
        answer += tr("; adapters, which come with most such GPUs, combine {n} x 8-pin for that", n=joined)
    yield _check(build, PLUGS, joined is not None, tr("the cards need {plugs}; {answer}", plugs=wanted, answer=answer))


def _room(build: Build, parts: Sequence[tuple[Part, int]], gpus: Sequence[Part]) -> Iterator[Check]:
    boards, cases = _of(parts, "board"), _of(parts, "case")
    slots = [part.slots for part in gpus]
    if gpus and boards and boards[0].slots is not None:
        if any(count is None for count in slots):
            yield _check(build, SLOTS, None, tr("it is not known how many slots a GPU covers"))
        else:
            total = sum(count or 0 for count in slots)
            text = tr("the GPUs cover {n} of {all} slots", n=total, all=boards[0].slots)
            yield _check(build, SLOTS, total <= boards[0].slots, text)
    lengths = [part.length_mm for part in gpus if part.length_mm is not None]
    if lengths and cases and cases[0].length_mm is not None:
        text = tr("the longest GPU has {card:.0f} mm, and the case has space for {case:.0f} mm", card=max(lengths),
                  case=cases[0].length_mm)
        yield _check(build, tr_later("length"), max(lengths) <= cases[0].length_mm, text)


def _lanes(
    build: Build, parts: Sequence[tuple[Part, int]], gpus: Sequence[Part], market: Market
) -> Iterator[Check]:
    cpus = _of(parts, "cpu")
    if not gpus or not cpus:
        return
    lanes = cpus[0].pcie_lanes
    if lanes is None:
        yield _check(build, LANES, None, tr("the number of lanes of {cpu} is not given", cpu=cpus[0].name))
        return
    taken = other_lanes(build, market)
    shared = box.widths(len(gpus), lanes, taken)
    if shared is None:
        yield _check(build, LANES, False, tr(
            "{lanes} lanes are not enough for {n} GPUs with at least 4 each", n=len(gpus), lanes=lanes - taken))
        return
    link = link_of(build, gpus[0], len(gpus), market)
    rate_of = "" if link is None else tr(", {rate:.2f} GB/s each way on the narrowest", rate=link / 1e9)
    text = tr("{widths} of {lanes} lanes, {taken} taken by others{rate}", widths="/".join(map(str, shared)),
              lanes=lanes, taken=taken, rate=rate_of)
    yield _check(build, LANES, True, text)


def _links(
    own: Candidate, workload: Workload, known: Sequence[Figure], networks: Mapping[str, Network], gpus: Sequence[Part],
    market: Market,
) -> Iterator[Check]:
    network, build = networks.get(workload.model), own.build
    rated = rate(own, workload, known, networks)
    if network is None or build is None or not gpus or rated.samples_per_s is None or workload.local_batch is None:
        return
    link = link_of(build, gpus[0], len(gpus), market)
    if link is None:
        return
    each = rated.samples_per_s.value / len(gpus)
    gradients = 4.0 * network.parameters if workload.mode == Mode.TRAINING else 0.0
    used = box.link_use(each, network.sample_bytes, gradients, each / workload.local_batch, len(gpus), link)
    text = tr("{workload}: input and gradients use {share} of a link of {link:.2f} GB/s", workload=workload.in_words,
              share=formatting.share(used), link=link / 1e9)
    yield _check(build, tr_later("link"), used < 1, text, rated.samples_per_s.origin)


# Links that were measured ---------------------------------------------------------------------------------------------

TRANSFER_BYTES = 1e9         # a transfer whose time distinguishes a slow link from a fast one


@dataclass(frozen=True, kw_only=True)
class Linked:
    """The link of one GPU in the latest trial that recorded it."""

    subject: str                 # the GPU and its machine
    link: Link
    words: str


def linked(trials: pd.DataFrame, networks: Mapping[str, Network]) -> list[Linked]:
    """The link of every GPU under load, compared with the maximum of its driver and its data sheet."""
    by_gpu: dict[tuple[str, str], Linked] = {}
    measured = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK) & trials.telemetry.notna()]
    for row in measured.sort_values("recorded_at").to_dict("records"):
        trial = {str(name): fact for name, fact in row.items()}
        for gpu in seen(trial).gpus:
            link = pcie_links.under_load(gpu)
            if link is None:
                continue
            with contextlib.suppress(UserError):     # no data sheet, or several: only the driver's figures are known
                link = link.against(gpu_specifications.by_name(gpu.product))
            by_gpu[str(trial["machine"]), gpu.name] = Linked(
                subject=tr("{gpu} with {cpu}", gpu=gpu.name, cpu=json.loads(trial["machine_facts"])["cpu"]),
                link=link, words=_linked(link, trial, networks.get(str(trial["model"]))),
            )
    return list(by_gpu.values())


def _linked(link: Link, trial: Mapping[str, Any], network: Network | None) -> str:
    """"ran at x8 of x16: ...; a transfer of 1 GB takes 127 ms, 63 ms longer than it could"."""
    now, most = link.bytes_per_s, link.most_bytes_per_s
    at = [tr("{now} of {most}", now=written.format(value), most=written.format(limit)) if limit is not None and
          value < limit else written.format(value)
          for written, value, limit in (("x{}", link.lanes, link.most_lanes),
                                        ("PCIe {}.0", link.generation, link.most_generation)) if value is not None]
    sentence = tr("ran at {link}", link=formatting.listed(at))
    if now is None:
        return sentence
    takes = tr("{said}: {rate:.2f} GB/s each way, so that a transfer of 1 GB takes {time}", said=sentence,
               rate=now / 1e9, time=_milliseconds(TRANSFER_BYTES / now))
    if not link.below:
        return tr("{said}; that is its maximum", said=takes)
    if most is None:
        return takes
    text = tr("{said}, {longer} longer than on a link of {most:.2f} GB/s", said=takes, most=most / 1e9,
              longer=_milliseconds(TRANSFER_BYTES / now - TRANSFER_BYTES / most))
    if network is not None:
        size = float(network.sample_bytes) * trial["local_batch"]
        text = tr(
            "{said}; the input of a batch of {model} ({size:.1f} MB) takes {time} in a step of {step}, {longer} longer",
            said=text, model=trial["model"], size=size / 1e6, time=_milliseconds(size / now),
            longer=_milliseconds(size / now - size / most),
            step=_milliseconds(median(trial["timings_s"]) / trial["steps_per_timing"]),
        )
    return tr("{said}; check its slot, its riser, what else uses lanes of its processor, and the firmware settings",
              said=text)


def _milliseconds(time_s: float) -> str:
    return f"{formatting.significant(1e3 * time_s)} ms"


# Heat -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Held:
    """How well a machine kept its speed in its longest trial of a case."""

    subject: str
    endurance: Endurance
    is_on_battery: bool | None           # None: no battery, or not known
    causes: tuple[str, ...]              # causes of a loss that telemetry saw, one sentence each


OF_HEAT = ("throttled", "power_capped", "clock_drop")
"""Findings that state why a trial slowed down."""


def held(trials: pd.DataFrame) -> list[Held]:
    """The result for each machine with long enough trials; on battery and on mains it counts as two machines."""
    measured = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)]
    longest: dict[tuple[str, bool | None], Held] = {}
    for row in measured.to_dict("records"):
        trial = {str(name): fact for name, fact in row.items()}
        endurance = box.endurance(trial["timings_s"]) if math.fsum(trial["timings_s"]) >= box.LONG_S else None
        if endurance is None:
            continue
        judged = judge(trial)
        of = Held(
            subject=tr("{case} on {device}",
                       device=trial["device" if is_nothing(trial["device_name"]) else "device_name"],
                       case=f"{trial['model']} {word(trial['mode'])}, {trial['framework']}"),
            endurance=endurance, is_on_battery=judged.seen.is_on_battery,
            causes=tuple(each.text for each in judged.findings if each.id in OF_HEAT),
        )
        other = longest.get((of.subject, of.is_on_battery))
        if other is None or other.endurance.duration_s < endurance.duration_s:
            longest[of.subject, of.is_on_battery] = of
    return list(longest.values())
