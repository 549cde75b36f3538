"""How close a layer comes to the limits of its machine: the roofline model of Williams, Waterman and Patterson 2009.

There is a third limit beside arithmetic and memory: no kernel takes less time than an empty one.
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

BEYOND_CACHES = 128 * 2**20      # bytes; smaller arrays may stay in the last-level cache of a server or a GPU
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
WITHOUT_LIMITS = frozenset({Precision.INT8})
"""Precisions without micro-benchmarks."""
MEASURED, SPECIFICATION = tr_later("measured"), tr_later("specification")


class Bound(StrEnum):
    """The limit that applies to a layer."""

    COMPUTE = "compute"
    MEMORY = "memory"
    OVERHEAD = "overhead"            # of launching it


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The peak rate or the least time of one kind on a machine."""

    value: float                     # in FLOP/s, bytes/s or seconds
    source: str                      # "matmul_2048 in torch, measured"
    is_measured: bool                # otherwise it comes from a specification
    is_suspect: bool = False         # according to its trials


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The limits of a machine; None if not known."""

    flops_per_s: Peak | None = None
    bytes_per_s: Peak | None = None  # of main memory
    launch_s: Peak | None = None     # time of the smallest operation


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a layer in the roofline model; None if not known."""

    intensity: float | None = None   # FLOPs per byte moved; None also if nothing is moved
    flops_per_s: float | None = None
    bytes_per_s: float | None = None
    limit_s: float | None = None     # the least time that the peaks allow
    bound: Bound | None = None       # the limit that applies
    gap: float | None = None         # time / limit; below 1 if data stay in a cache, which is faster than memory,
                                     # or if the measured peak is too low


NOWHERE = Place()


def peaks(
    results: pd.DataFrame, *, machine: str, node: str | None, device: str, threads: int, precision: str
) -> Peaks:
    """The peaks over all frameworks, from micro-benchmarks among these results (see bench.analysis.results.summary).

    FLOP/s are those of products in this precision. Bandwidth is that of copying the largest arrays, if they are much
    larger than the caches. A launch uses one thread, whatever the number of threads. Measured peaks take precedence
    over specified ones, even if those are higher.
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
    """The precision in which the limits of this one are measured."""
    products: str = POLICIES[precision]["products"]
    return products


def memory_size(limit: str) -> int | None:
    """Bytes of the arrays of "copy_256MiB" or "triad_256MiB"; None for another micro-benchmark."""
    match = re.fullmatch(r"(?:copy|triad)_(\d+)([KMG]iB)", limit)
    return int(match[1]) * SIZES[match[2]] if match else None


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
    """The rates of one layer, and the least time that its work takes on this machine.

    The work may be that of several fused layers, which are launched once. There is no limit if the work, or the
    relevant peak, is not known; without a known launch time the limit is that of arithmetic and memory.
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
    """The least time of some work in s; 0 without work, whatever the peak."""
    if work == 0:
        return 0.0
    return None if work is None or peak is None else work / peak.value


def _rate(work: int | None, time_s: float) -> float | None:
    return None if work is None or time_s <= 0 else work / time_s


def best_of_peak(places: Iterable[Place], limits: Peaks) -> float | None:
    """The highest FLOP/s of some layers as a share of the peak; None if not known."""
    best = max((each.flops_per_s for each in places if each.flops_per_s is not None), default=None)
    return None if best is None or limits.flops_per_s is None else best / limits.flops_per_s.value


def mfu(flops_per_step: float | None, step_time_s: float | None, peak: Peak | None) -> float | None:
    """Model FLOP/s as a share of the peak (PaLM, appendix B); None if one of them is not known."""
    if flops_per_step is None or not step_time_s or peak is None:
        return None
    return flops_per_step / step_time_s / peak.value
