"""Whether a machine suits its GPUs: power supply, connectors, slots, lanes, links; and whether it keeps its speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rigmark.bench.document.language import tr_later

PSU_SIZES_W = (450, 550, 650, 750, 850, 1000, 1200, 1600)
STEADY_SHARE = 0.8           # share of its rating that a power supply gives for hours
TRANSIENT = 1.5              # peak power of a GPU for milliseconds over its rating; sources state 1.3 to 2 since 2020
TIGHT_SHARE = 0.9            # share of the rating that all may take if the GPU's database row suggests such a supply
ADAPTED = ("12-pin", "16-pin")           # connectors that come with an adapter for several 8-pin ones
PLUG_W, SLOT_W = 150.0, 75.0             # through an 8-pin connector, and through a slot (PCI Express CEM 5.1)
CIRCUIT_SHARE = 0.8          # of a wall circuit for continuous loads (National Electrical Code 210.20)
WIDTHS = (16, 8, 4)          # possible numbers of lanes of a slot

PEAK_S = 30.0                # the first part of a trial after warm-up
LONG_S = 600.0               # shortest trial that shows whether a machine keeps its speed
NOTE_BELOW, THROTTLES_BELOW = 0.97, 0.90


@dataclass(frozen=True, kw_only=True)
class Supply:
    """Ratings of a power supply in W. ``size_w`` is None if no usual supply is large enough."""

    steady_w: float              # rating at which all together need 80 %
    transient_w: float           # rating that the peaks of the GPUs need
    size_w: int | None

    @property
    def needed_w(self) -> float:
        return max(self.steady_w, self.transient_w)


def supply(cpu_w: float, gpus_w: Sequence[float], base_w: float) -> Supply:
    """The rating that a power supply needs with everything at full load."""
    gpu_w = sum(gpus_w)
    steady, transient = (cpu_w + gpu_w + base_w) / STEADY_SHARE, cpu_w + base_w + TRANSIENT * gpu_w
    needed = max(steady, transient)
    return Supply(
        steady_w=steady, transient_w=transient, size_w=next((size for size in PSU_SIZES_W if size >= needed), None)
    )


def is_tight(rated_w: float, load_w: float, suggested_w: float | None) -> bool:
    """Whether a power supply below that of ``supply`` is still enough, because the row of the single GPU suggests it.

    Rows assume a usual machine, and a power supply that withstands peaks of milliseconds.
    """
    return suggested_w is not None and rated_w >= suggested_w and load_w <= TIGHT_SHARE * rated_w


def adapted_plugs(cards_w: Sequence[float | None], needed: Sequence[str], there: Sequence[str]) -> int | None:
    """The number of 8-pin connectors that adapters combine into the 12-pin or 16-pin ones that a power supply lacks.

    None if other connectors are missing too, or if there are too few; 0 if no adapter is needed. ``cards_w`` are the
    powers of the GPUs with such connectors.
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
    """The connectors that a power supply lacks; one with eight pins also serves six."""
    left, missing = Counter(there), []
    for plug in sorted(needed, key=lambda plug: -int(plug.split("-", maxsplit=1)[0])):
        choice = next((other for other in (plug, *(["8-pin"] if plug == "6-pin" else [])) if left[other]), None)
        if choice is None:
            missing.append(plug)
        else:
            left[choice] -= 1
    return missing


def widths(cards: int, lanes: int, taken: int = 0) -> list[int] | None:
    """Lanes of each GPU's slot, widest first, if ``taken`` lanes of the CPU go elsewhere; None if there are too few.

    As on boards, the last of the widest slots is halved until all fit: 40 lanes give three GPUs 16, 16 and 8.
    """
    widths_of_cards = [WIDTHS[0]] * cards
    while sum(widths_of_cards) > lanes - taken:
        widest = max(widths_of_cards)
        if widest == WIDTHS[-1]:
            return None
        widths_of_cards[len(widths_of_cards) - 1 - widths_of_cards[::-1].index(widest)] = widest // 2
    return sorted(widths_of_cards, reverse=True)


def link_use(
    samples_per_s: float, sample_bytes: float, gradient_bytes: float, steps_per_s: float, devices: int,
    link_bytes_per_s: float,
) -> float:
    """Share of a device's link that the input and, in a ring of devices, the gradients need."""
    ring = 2 * (devices - 1) / devices
    return (samples_per_s * sample_bytes + ring * gradient_bytes * steps_per_s) / link_bytes_per_s


@dataclass(frozen=True, kw_only=True)
class Endurance:
    """How well a machine keeps its speed."""

    ratio: float                 # sustained speed over initial speed; 1.0: no loss
    duration_s: float
    words: str                   # "holds its speed", "slows a little", "throttles"


def endurance(step_times_s: Sequence[float]) -> Endurance | None:
    """Speed in the last third of the steps relative to the first 30 s; None if there are less than 10 min of steps."""
    times = np.asarray(step_times_s, float)
    duration = float(times.sum())
    if duration < LONG_S:
        return None
    ends = np.cumsum(times)
    peak = times[: max(1, int(np.searchsorted(ends, PEAK_S)))]
    ratio = float(np.median(peak) / np.median(times[len(times) * 2 // 3 :]))
    text = tr_later("throttles") if ratio < THROTTLES_BELOW else tr_later("slows a little") if ratio < NOTE_BELOW \
        else tr_later("keeps its speed")
    return Endurance(ratio=ratio, duration_s=duration, words=text)
