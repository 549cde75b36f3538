"""Whether a batch fits into memory, and the largest that does, from a line through measured peaks or an estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rigmark.bench.document.language import tr

FEWEST_BATCHES = 3           # a line always fits two points
USABLE = 0.93                # share of the memory; the rest is lost to fragmentation
TIGHT = 0.07                 # within this share of the usable memory, another run may have another outcome
WORST_FIT = 0.10             # relative error of the line; beyond it, peaks are not linear in the batch
CONTEXT_BYTES = 0.5 * 2**30  # of a GPU's context, which allocators do not count: 0.3 to 0.7 GB have been seen
ESTIMATE_FACTOR = 1.5        # factor by which an estimate may be wrong in both directions


class Answer(StrEnum):
    FITS = "fits"
    TIGHT = "tight"
    NO = "does not fit"
    OPEN = "cannot be told"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Peak bytes = fixed_bytes + bytes_per_sample x batch."""

    fixed_bytes: float
    bytes_per_sample: float
    batches: tuple[int, ...]             # measured batches; empty for an estimate
    largest_error: float | None          # largest relative error of these; None for an estimate

    @property
    def is_estimate(self) -> bool:
        return not self.batches

    def peak_bytes(self, batch: int) -> float:
        return self.fixed_bytes + self.bytes_per_sample * batch


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What fits into a memory."""

    line: Line
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


def estimated_line(
    *, parameters: int, activations: int, largest_pair: int, is_training: bool, optimizer_states: int, itemsize: float,
) -> Line:
    """An estimate from the definition of a network, without running it.

    ``activations`` counts the numbers per sample that all layers write, ``largest_pair`` those that the largest layer
    reads and writes; ``itemsize`` is the mean size of a number in bytes: 3 for 16-bit arithmetic, since some numbers
    keep 4 bytes. Inference stores the largest pair; workspaces of kernels are not counted, hence ESTIMATE_FACTOR.
    Training stores weights, gradients and states of the optimizer with 4 bytes each, and all activations.
    """
    if is_training:
        return Line(
            fixed_bytes=4.0 * parameters * (2 + optimizer_states), bytes_per_sample=itemsize * activations,
            batches=(), largest_error=None,
        )
    return Line(
        fixed_bytes=4.0 * parameters, bytes_per_sample=itemsize * largest_pair, batches=(), largest_error=None
    )


def fit(line: Line, capacity_bytes: float, *, context_bytes: float = 0.0, batch: int | None = None) -> Fit:
    """What fits into ``capacity_bytes``, of which ``context_bytes`` are used by what peaks do not include."""
    room = USABLE * capacity_bytes - context_bytes
    largest = max(0, math.floor((room - line.fixed_bytes) / line.bytes_per_sample))
    answer = None if batch is None else _answer(line, line.peak_bytes(batch), room)
    return Fit(line=line, capacity_bytes=capacity_bytes, largest_batch=largest, batch=batch, answer=answer)


def _answer(line: Line, peak_bytes: float, room: float) -> Answer:
    if line.is_estimate:
        if peak_bytes * ESTIMATE_FACTOR <= room:
            return Answer.FITS
        return Answer.NO if peak_bytes > room * ESTIMATE_FACTOR else Answer.OPEN
    if peak_bytes > room:
        return Answer.NO
    return Answer.TIGHT if peak_bytes > room * (1 - TIGHT) else Answer.FITS
