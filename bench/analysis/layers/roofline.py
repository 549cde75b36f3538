"""How near a layer comes to what its machine can do: the roofline of Williams, Waterman and Patterson 2009.

A third limit stands beside arithmetic and memory: no kernel takes less time than an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import key
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Precision, TrialKind
from rigmark.bench.worker.precisions import POLICIES

BEYOND_CACHES = 128 * 2**20      # bytes; what is smaller may stay in a last-level cache, be it of a server or a GPU
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
WITHOUT_LIMITS = frozenset({Precision.INT8})
"""Precisions that no limit is measured in."""
MEASURED, SPECIFICATION = tr_later("measured"), tr_later("specification")


class Bound(StrEnum):
    """What holds a layer back at its limit."""

    COMPUTE = "compute"
    MEMORY = "memory"
    OVERHEAD = "overhead"            # of starting it at all


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The best of one kind that a machine does."""

    value: float                     # in FLOP/s, bytes/s or seconds
    source: str                      # "matmul_2048 in torch, measured"
    is_measured: bool                # else it is what a specification says
    is_suspect: bool = False         # by its trials


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The limits of a machine; None for what is not known."""

    flops_per_s: Peak | None = None
    bytes_per_s: Peak | None = None  # of main memory
    launch_s: Peak | None = None     # of the smallest operation, start to end


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a layer stands below the roof; None for what is not known."""

    intensity: float | None = None   # FLOPs per byte moved; None also where nothing is moved
    flops_per_s: float | None = None
    bytes_per_s: float | None = None
    limit_s: float | None = None     # the least time that the peaks allow
    bound: Bound | None = None       # by which of them
    gap: float | None = None         # time / limit; below 1 where data stay in a cache, which is faster than memory,
                                     # or where the peak was measured too low


NOWHERE = Place()


def peaks(
    results: pd.DataFrame, *, machine: str, node: str | None, device: str, threads: int, precision: str
) -> Peaks:
    """The best over frameworks, from the limits among some results (see bench.analysis.results.summary).

    FLOP/s are of this precision's products; bandwidth is that of the largest arrays copied, if they are well beyond
    the caches; a launch takes one thread, however many there are. What was measured goes before what a specification
    says, even where that is better.
    """
    of_machine = [
        row for row in results.to_dict("records")
        if key(row, ("kind", "machine", "node", "device")) == (TrialKind.LIMIT, machine, node, device)
        and row.get("validity") != Validity.INVALID
    ]
    here = [row for row in of_machine if row["threads"] == threads]
    products = products_of(precision)
    arithmetic = [row for row in here if row["precision"] == products and re.match(r"matmul_|conv2d_", row["model"])]
    large = [(size, row) for row in here if (size := memory_size(row["model"]) or 0) >= BEYOND_CACHES]
    largest = [row for size, row in large if size == max(size for size, _ in large)]
    return Peaks(
        flops_per_s=_best(arithmetic, "flops_per_s"), bytes_per_s=_best(largest, "bytes_per_s"),
        launch_s=_best([row for row in of_machine if row["model"] == "launch"], "step_time_s", least=True),
    )


def products_of(precision: str) -> str:
    """The precision that the limits of this one's products are measured in."""
    products: str = POLICIES[precision]["products"]
    return products


def memory_size(limit: str) -> int | None:
    """Bytes of the arrays of "copy_256MiB" or "triad_256MiB"; None for another limit."""
    found = re.fullmatch(r"(?:copy|triad)_(\d+)([KMG]iB)", limit)
    return int(found[1]) * SIZES[found[2]] if found else None


def _best(rows: list[dict[Any, Any]], figure: str, *, least: bool = False) -> Peak | None:
    known = [
        Peak(
            value=float(row[figure]), is_measured=is_measured, is_suspect=is_suspect,
            source=tr(
                "{limit} in {framework}, {measured}", limit=row["model"], framework=row["framework"],
                measured=tr(", ").join([
                    tr(MEASURED if is_measured else SPECIFICATION), *([word(Validity.SUSPECT)] if is_suspect else []),
                ]),
            ),
        )
        for row in rows
        if not pd.isna(row[figure]) and row[figure] > 0
        for is_measured in [row.get("origin", MEASURED) == MEASURED]
        for is_suspect in [row.get("validity") == Validity.SUSPECT]
    ]
    known = [peak for peak in known if peak.is_measured] or known
    return (min if least else max)(known, key=lambda peak: peak.value, default=None)


def place(time_s: float, flops: int | None, bytes_moved: int | None, limits: Peaks) -> Place:
    """What one layer achieves, and the least time that its work takes on this machine.

    The work may be that of several layers fused into one, which is launched once. There is no limit where the work,
    or the peak that it meets, is not known; without a known launch the limit is that of arithmetic and memory.
    """
    least_s = {
        Bound.COMPUTE: _least(flops, limits.flops_per_s), Bound.MEMORY: _least(bytes_moved, limits.bytes_per_s),
        Bound.OVERHEAD: limits.launch_s.value if limits.launch_s else 0.0,
    }
    known = {bound: least for bound, least in least_s.items() if least is not None}
    bound = max(known, key=known.__getitem__) if len(known) == len(Bound) and any(known.values()) else None
    limit_s = None if bound is None else known[bound]
    return Place(
        intensity=flops / bytes_moved if flops is not None and bytes_moved else None,
        flops_per_s=_rate(flops, time_s), bytes_per_s=_rate(bytes_moved, time_s), limit_s=limit_s, bound=bound,
        gap=time_s / limit_s if limit_s and time_s > 0 else None,
    )


def _least(work: int | None, peak: Peak | None) -> float | None:
    """Seconds; no work takes none, whatever the peak."""
    if work == 0:
        return 0.0
    return None if work is None or peak is None else work / peak.value


def _rate(work: int | None, time_s: float) -> float | None:
    return None if work is None or time_s <= 0 else work / time_s


def best_of_peak(places: Iterable[Place], limits: Peaks) -> float | None:
    """FLOP/s of the best of some layers as a share of the peak; None where one of them is not known."""
    best = max((each.flops_per_s for each in places if each.flops_per_s is not None), default=None)
    return None if best is None or limits.flops_per_s is None else best / limits.flops_per_s.value


def mfu(flops_per_step: float | None, step_time_s: float | None, peak: Peak | None) -> float | None:
    """Model FLOP/s as a share of the peak (PaLM, appendix B); None where one of them is not known."""
    if flops_per_step is None or not step_time_s or peak is None:
        return None
    return flops_per_step / step_time_s / peak.value
