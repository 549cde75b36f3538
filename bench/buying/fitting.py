"""Whether a batch fits into memory, and the largest that does, from a line through measured peaks or an estimate."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rigmark.bench.document.language import tr
from rigmark.bench.ir import memory
from rigmark.bench.ir.graph import Graph
from rigmark.bench.worker import precisions

FEWEST_BATCHES = 3           # a line always fits two points
USABLE = 0.93                # share of the memory; the rest is lost to fragmentation
TIGHT = 0.07                 # within this share of the usable memory, another run may have another outcome
WORST_FIT = 0.10             # relative error of the line; beyond it, peaks are not linear in the batch
CONTEXT_BYTES = 0.5 * 2**30  # of a GPU's context, which allocators do not count: 0.3 to 0.7 GB have been seen
ESTIMATE_RANGE = (0.9, 1.5)  # of what is needed over an estimate, assumed: kernels want workspaces besides


class Answer(StrEnum):
    FITS = "fits"
    TIGHT = "tight"
    NO = "does not fit"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Peak bytes = fixed_bytes + bytes_per_sample x batch."""

    fixed_bytes: float
    bytes_per_sample: float
    batches: tuple[int, ...]             # that were measured
    largest_error: float                 # largest relative error of these

    def peak_bytes(self, batch: int) -> float:
        return self.fixed_bytes + self.bytes_per_sample * batch

    def largest_batch(self, room: float) -> int:
        """That fits into so many bytes; 0: not even one sample does."""
        return max(0, math.floor((room - self.fixed_bytes) / self.bytes_per_sample))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Peak bytes without a measurement: the largest of what each moment of a step needs."""

    moments: tuple[tuple[float, float], ...]     # (bytes of any batch, bytes per sample)

    def peak_bytes(self, batch: int) -> float:
        return max(fixed + each * batch for fixed, each in self.moments)

    def largest_batch(self, room: float) -> int:
        """That fits into so many bytes; 0: not even one sample does."""
        return max(0, min(math.floor((room - fixed) / each) if each else 0 if fixed > room else sys.maxsize
                          for fixed, each in self.moments))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What fits into a memory."""

    line: Line | Estimate
    capacity_bytes: float
    largest_batch: int                   # 0: not even one sample fits
    batch: int | None                    # the batch in question
    answer: Answer | None                # whether that batch fits


def line_of(peaks_bytes: Mapping[int, float]) -> Line | str:
    """The line by least squares through the peaks of three or more batches; a sentence if there is none."""
    batches = sorted(peaks_bytes)
    if len(batches) < FEWEST_BATCHES:
        have = ", ".join(map(str, batches)) or tr("none")
        return tr("a fit needs {n} measured batches, but there are: {batches}", n=FEWEST_BATCHES, batches=have)
    peaks = np.array([peaks_bytes[batch] for batch in batches])
    slope, fixed = (float(number) for number in np.polyfit(batches, peaks, 1))
    if slope <= 0:
        return tr("measured peaks do not grow with the batch, so something else determines them")
    error = float(np.max(np.abs(fixed + slope * np.array(batches) - peaks) / peaks))
    if error > WORST_FIT:
        return tr("measured peaks deviate by {error:.0%} from a line, so other batches cannot be predicted from them",
                  error=error)
    return Line(fixed_bytes=fixed, bytes_per_sample=slope, batches=tuple(batches), largest_error=error)


def formats(precision: str) -> memory.Formats:
    """The sizes of the numbers of a precision."""
    policy = precisions.POLICIES[precision]
    weight, value, product = (
        float(precisions.FORMAT_BYTES[policy[which]]) for which in ("weights", "activations", "products"))
    is_copied = product < weight and precision not in precisions.PRODUCTS_ONLY
    return memory.Formats(
        weight=weight, value=value, gradient=float(precisions.gradient_bytes(precision)),
        product=product if is_copied else 0.0,
    )


def estimate(graph: Graph, *, is_training: bool, precision: str, cached: int = 0) -> Estimate:
    """The estimate from the definition of a network, without running it; see bench.ir.memory."""
    sizes = formats(precision)
    one, two = (
        [moment.total for moment in memory.moments(graph, batch=batch, training=is_training, formats=sizes,
                                                      cached=cached)]
        for batch in (1, 2)
    )
    lines = {(2 * first - second, second - first) for first, second in zip(one, two, strict=True)}
    return Estimate(moments=tuple(sorted(lines)))


def fit(line: Line | Estimate, capacity_bytes: float, *, context_bytes: float = 0.0, batch: int | None = None) -> Fit:
    """What fits into ``capacity_bytes``, of which ``context_bytes`` are used by what peaks do not include."""
    room = USABLE * capacity_bytes - context_bytes
    answer = None if batch is None else _answer(line, line.peak_bytes(batch), room)
    return Fit(line=line, capacity_bytes=capacity_bytes, batch=batch, answer=answer,
               largest_batch=line.largest_batch(room))


def _answer(line: Line | Estimate, peak_bytes: float, room: float) -> Answer:
    if isinstance(line, Estimate):
        low, high = (peak_bytes * factor for factor in ESTIMATE_RANGE)
        return Answer.FITS if high <= room else Answer.NO if low > room else Answer.UNCERTAIN
    if peak_bytes > room:
        return Answer.NO
    return Answer.TIGHT if peak_bytes > room * (1 - TIGHT) else Answer.FITS
