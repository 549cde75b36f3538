"""Does the machine hold its cards: power supply, plugs, slots, lanes, links; and does it hold its speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rigmark.bench.document.language import tr_later

PSU_SIZES_W = (450, 550, 650, 750, 850, 1000, 1200, 1600)
STEADY_SHARE = 0.8           # of its rating that a supply gives for hours
TRANSIENT = 1.5              # a card's power for milliseconds over its rated one; sources say 1.3 to 2 since 2020
TIGHT_SHARE = 0.9            # of its rating that all together may take where the card's own row suggests such a supply
ADAPTED = ("12-pin", "16-pin")           # plugs that come with an adapter from some of eight pins
PLUG_W, SLOT_W = 150.0, 75.0             # through a plug of eight pins, and a slot (PCI Express CEM 5.1)
CIRCUIT_SHARE = 0.8          # of a wall circuit for what runs for hours (National Electrical Code 210.20)
WIDTHS = (16, 8, 4)          # lanes that a slot may have

PEAK_S = 30.0                # at the beginning, after warm-up
LONG_S = 600.0               # from which a trial says how a machine holds its speed
NOTE_BELOW, THROTTLES_BELOW = 0.97, 0.90


@dataclass(frozen=True, kw_only=True)
class Supply:
    """In watts. ``size_w`` None: no usual supply is large enough."""

    steady_w: float              # rating that the sum of all needs, so that it runs at 80 %
    transient_w: float           # rating that peaks of the cards need
    size_w: int | None

    @property
    def needed_w(self) -> float:
        return max(self.steady_w, self.transient_w)


def supply(cpu_w: float, gpus_w: Sequence[float], base_w: float) -> Supply:
    """What a power supply must be rated for; all at full load."""
    gpu_w = sum(gpus_w)
    steady, transient = (cpu_w + gpu_w + base_w) / STEADY_SHARE, cpu_w + base_w + TRANSIENT * gpu_w
    needed = max(steady, transient)
    return Supply(
        steady_w=steady, transient_w=transient, size_w=next((size for size in PSU_SIZES_W if size >= needed), None)
    )


def is_tight(rated_w: float, load_w: float, suggested_w: float | None) -> bool:
    """Whether a supply below what ``supply`` asks for is still enough: a single card's row suggests no more.

    Rows count on a usual machine around the card, and on supplies that bear its peaks of milliseconds.
    """
    return suggested_w is not None and rated_w >= suggested_w and load_w <= TIGHT_SHARE * rated_w


def adapted_plugs(cards_w: Sequence[float | None], needed: Sequence[str], there: Sequence[str]) -> int | None:
    """How many plugs of eight pins adapters join into those of 12 or 16 pins that a supply lacks.

    None where other plugs are missing too, or there are too few; 0: nothing has to be joined. ``cards_w`` are the
    powers of the cards with such plugs.
    """
    lacking = missing_plugs(needed, there)
    if not lacking:
        return 0
    if any(plug not in ADAPTED for plug in lacking) or any(watts is None for watts in cards_w):
        return None
    joined = sum(math.ceil(((watts or 0.0) - SLOT_W) / PLUG_W) for watts in cards_w)
    others = [plug for plug in needed if plug not in ADAPTED]
    return joined if not missing_plugs([*others, *["8-pin"] * joined], there) else None


def missing_plugs(needed: Sequence[str], there: Sequence[str]) -> list[str]:
    """Plugs that a supply lacks; one with eight pins also serves six."""
    left, missing = Counter(there), []
    for plug in sorted(needed, key=lambda plug: -int(plug.split("-", maxsplit=1)[0])):
        choice = next((other for other in (plug, *(["8-pin"] if plug == "6-pin" else [])) if left[other]), None)
        if choice is None:
            missing.append(plug)
        else:
            left[choice] -= 1
    return missing


def widths(cards: int, lanes: int, taken: int = 0) -> list[int] | None:
    """Lanes of each card's slot, widest first, on a CPU of which ``taken`` go elsewhere; None where they do not go in.

    The last of the widest is halved until all go in, as boards do: 40 lanes give three cards 16, 16 and 8.
    """
    found = [WIDTHS[0]] * cards
    while sum(found) > lanes - taken:
        widest = max(found)
        if widest == WIDTHS[-1]:
            return None
        found[len(found) - 1 - found[::-1].index(widest)] = widest // 2
    return sorted(found, reverse=True)


def link_use(
    samples_per_s: float, sample_bytes: float, gradient_bytes: float, steps_per_s: float, devices: int,
    link_bytes_per_s: float,
) -> float:
    """Share of a device's link that input, and gradients of a ring of devices, need."""
    ring = 2 * (devices - 1) / devices
    return (samples_per_s * sample_bytes + ring * gradient_bytes * steps_per_s) / link_bytes_per_s


@dataclass(frozen=True, kw_only=True)
class Endurance:
    """How a machine holds its speed."""

    ratio: float                 # sustained over peak speed; 1.0: it holds
    duration_s: float
    words: str                   # "holds its speed", "slows a little", "throttles"


def endurance(step_times_s: Sequence[float]) -> Endurance | None:
    """Speed over the last third of the steps against that of the first 30 s; None below ten minutes of steps."""
    times = np.asarray(step_times_s, float)
    duration = float(times.sum())
    if duration < LONG_S:
        return None
    ends = np.cumsum(times)
    peak = times[: max(1, int(np.searchsorted(ends, PEAK_S)))]
    ratio = float(np.median(peak) / np.median(times[len(times) * 2 // 3 :]))
    words = tr_later("throttles") if ratio < THROTTLES_BELOW else tr_later("slows a little") if ratio < NOTE_BELOW \
        else tr_later("holds its speed")
    return Endurance(ratio=ratio, duration_s=duration, words=words)
