"""Predicts the throughput of a network on a GPU that was not measured: a range with its reasons, or a refusal.

The range covers the specified ratios of arithmetic (of vector units, and of tensor cores if the precision uses them)
and of memory bandwidth between that GPU and a measured one, and 1.0x if the host may have limited the measured one; the
value is its geometric middle. With several measured GPUs, the step time is fitted as a sum of times for arithmetic,
memory and the rest. evidence/predictions.py shows on published tables how often the true value is in the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rigmark.bench.document.language import tr
from rigmark.bench.machine.gpu_specifications import TENSOR_SHARES, Card

MARGIN = 0.10                # by which each end is widened
WIDE_MARGIN = 0.25           # if less certain: other vendor, other arithmetic, power cap, unknown software
CAPPED = 0.8                 # share of the desktop GPU's power; a lower power cap matters
FEWEST_BUSY = 0.9            # busy ratio of the measured GPU; if it is lower, nothing is predicted
SHORT_STEP_S = 0.2           # a shorter step may be all kernel launches: DenseNet-201 trains at batch 12 in 0.14 to
                             # 0.18 s on each of five GPUs, although one has 1.6 times the FLOP/s of another
SAME_RATIO = 0.25            # relative difference up to which two ratios count as equal
FEWEST_FOR_FIT = 2
FEWEST_FOR_ITS_RANGE = 3     # GPUs from which on the leave-one-out error is used; with two it may be small by chance
MODEL_ERROR = 0.05           # relative error of the sum of three terms: 2 to 5 % on published tables
SHARE_SPREAD = 0.3           # prior standard deviation of each term's share of a step
EXPECTED_SHARES = (0.5, 0.5, 0.0)        # prior shares of arithmetic, memory and rest, as in the middle of a range
OLD = ("Fermi", "Kepler")
"""Architectures for which nothing is predicted: in TensorFlow's tables of 2017 a P100 is 4.3x to 4.6x as fast as a K80,
but by specifications only 2.6x to 3.0x."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A known throughput, and the GPU on which it was measured."""

    card: Card
    samples_per_s: float
    precision: str
    software: str = ""                   # empty: not stated
    busy_ratio: float | None = None      # of the GPU during the measurement; None: not known
    step_time_s: float | None = None     # None: its batch is not known
    device: str = ""                     # its name in sentences


@dataclass(frozen=True, kw_only=True)
class Refusal:
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted samples/s of one device; evidence/predictions.py shows how often low and high enclose the truth."""

    value: float
    low: float
    high: float
    method: str                          # "range" or "fit"
    reasons: tuple[str, ...]             # one sentence each: the basis, and what widens the range
    error: float | None                  # of a fit: largest relative leave-one-out error
    software: str                        # of the figures that it is based on


def predicted(references: Sequence[Reference], target: Card) -> Prediction | Refusal:
    """The throughput of a GPU, predicted from figures of one network with the same batch and precision."""
    refusals = [(each, reason) for each in references if (reason := refusal(each, target)) is not None]
    refused = {id(each) for each, _ in refusals}
    usable = [each for each in references if id(each) not in refused]
    if not usable:
        return Refusal(reason=refusals[0][1] if refusals else tr(
            "no GPU was measured from which it could be predicted"))
    # Kernels are written for an architecture, so a GPU of the same architecture is the best reference.
    alike = [each for each in usable if each.card.architecture == target.architecture] or usable
    alike = [each for each in alike if not _widened(each, target)] or alike
    nearest = min(alike, key=lambda each: (_distance(each.card, target), -each.samples_per_s))
    ranged = from_one(nearest, target)
    # Another framework or version changes a figure as much as another GPU does; and the terms of a fit do not model
    # other vendors, other arithmetic or power caps.
    alike = [each for each in alike if each.software == nearest.software and not _widened(each, target)]
    if not nearest.software or len({each.card.key for each in alike}) < FEWEST_FOR_FIT:
        return ranged
    return _fitted(alike, target, ranged)


def refusal(reference: Reference, target: Card) -> str | None:
    """Why nothing can be predicted for a GPU from a figure; None if it can."""
    if reference.busy_ratio is not None and reference.busy_ratio < FEWEST_BUSY:
        return tr("{device} was busy for only {share:.0%} of the time: launching or input limits it, so nothing can "
                  "be predicted, and a faster GPU will not help much", device=_named(reference),
                  share=reference.busy_ratio)
    for card in (reference.card, target):
        if not card.fp32_flops_per_s and not card.bandwidth_bytes_per_s:
            return tr("FLOP/s and memory bandwidth of {card} are not known", card=card.name)
        if not card.fp32_flops_per_s:
            return tr("FLOP/s of {card} is not known", card=card.name)
        if not card.bandwidth_bytes_per_s:
            return tr("memory bandwidth of {card} is not known", card=card.name)
        if card.architecture.startswith(OLD) and reference.card.key != target.key:
            return tr("{card} belongs to the {generation} generation, whose specifications say too little about the "
                      "speed of networks", card=card.name, generation=card.architecture)
    return None


def from_one(reference: Reference, target: Card) -> Prediction:
    """The range predicted from one measured GPU that ``refusal`` accepts."""
    old, new = reference.card, target
    ratios = {tr("arithmetic"): _ratio(new.fp32_flops_per_s, old.fp32_flops_per_s),
              tr("memory bandwidth"): _ratio(new.bandwidth_bytes_per_s, old.bandwidth_bytes_per_s)}
    tensor = _tensor_ratio(reference, target)
    if tensor is not None and not _is_near(tensor, ratios[tr("arithmetic")]):
        ratios[tr("arithmetic with tensor cores")] = tensor
    doubts = [*_widened(reference, target), *_not_stated(reference)]
    waits = _may_wait(reference, target)
    ends = [*ratios.values(), *([1.0] if waits else ())]
    low, high = min(ends), max(ends)
    margin = WIDE_MARGIN if doubts or waits else MARGIN
    text = ", ".join(tr("{ratio:.2f}x in {what}", ratio=value, what=name) for name, value in ratios.items())
    reasons = [tr("{card} has {ratios} of {reference}, widened by {margin:.0%} at either end", card=new.name,
                  ratios=text, reference=_named(reference), margin=margin), *doubts, *waits]
    return Prediction(
        value=reference.samples_per_s * math.sqrt(low * high), low=reference.samples_per_s * low * (1 - margin),
        high=reference.samples_per_s * high * (1 + margin), method="range", reasons=tuple(reasons), error=None,
        software=reference.software,
    )


def _tensor_ratio(reference: Reference, target: Card) -> float | None:
    """The ratio of the units that multiply matrices: tensor cores, or vector units if a GPU has none for the precision.

    None if neither GPU has tensor cores, or if their rate is not known.
    """
    rates = [card.tensor_rate(reference.precision) for card in (reference.card, target)]
    if rates == [None, None] or any(_is_unstated(card, reference.precision) for card in (reference.card, target)):
        return None
    old, new = (rate or card.fp32_flops_per_s for rate, card in zip(rates, (reference.card, target), strict=True))
    return _ratio(new, old)


def _is_unstated(card: Card, precision: str) -> bool:
    """Whether it has tensor cores whose rate is in no source of the table of GPUs."""
    return card.has_tensor_cores and card.tensor_flops_per_s is None and precision in TENSOR_SHARES


def _is_near(ratio: float, other: float) -> bool:
    return abs(math.log(ratio / other)) <= math.log(1 + SAME_RATIO)


def _not_stated(reference: Reference) -> list[str]:
    return [] if reference.software else [
        tr("the software of {reference} is not stated, and other software changes a figure as much as another GPU does",
           reference=_named(reference))]


def _may_wait(reference: Reference, target: Card) -> list[str]:
    """Why the host may limit the speed on one of the two GPUs: one sentence, or none.

    A GPU that was busy nearly all the time did not wait, but a faster one may.
    """
    step_s = reference.step_time_s
    if reference.card.key == target.key or (step_s is not None and step_s >= SHORT_STEP_S):
        return []
    if reference.busy_ratio is not None:
        is_faster = (target.fp32_flops_per_s or 0) > (reference.card.fp32_flops_per_s or 0)
        return [tr("a step takes {step:.0f} ms, so launching may limit a faster GPU", step=1e3 * step_s)
                ] if is_faster and step_s is not None else []
    if step_s is None:
        return [tr("neither its batch nor the busy ratio of that GPU is known: if launching or input limited it, "
                   "another GPU has the same speed, so the range includes 1.00x")]
    return [tr("a step took {step:.0f} ms, and the busy ratio of that GPU is not known: if launching limited it, "
               "another GPU has the same speed, so the range includes 1.00x", step=1e3 * step_s)]


def _widened(reference: Reference, target: Card) -> list[str]:
    """Why the range is wider than usual, one sentence per reason."""
    old, reasons = reference.card, []
    if old.vendor != target.vendor:
        reasons.append(tr("the vendors differ ({old}, {new})", old=old.vendor, new=target.vendor))
    reasons += [tr("the speed of the tensor cores of {card} is not known", card=card.name)
                for card in (old, target) if _is_unstated(card, reference.precision)]
    rates, tensor = [card.tensor_rate(reference.precision) for card in (old, target)], _tensor_ratio(reference, target)
    if tensor is not None and None in rates:
        reasons.append(tr("only one of the two computes {precision} in tensor cores", precision=reference.precision))
    elif tensor is not None and not _is_near(tensor, _ratio(target.fp32_flops_per_s, old.fp32_flops_per_s)):
        reasons.append(tr("the ratios of tensor cores and of vector units differ, and it is not known which of them "
                          "limits the network"))
    for card in (target, old):
        if card.is_capped and (card.desktop_tdp_w is None or (card.tdp_w or 0) < CAPPED * card.desktop_tdp_w):
            of = tr("not known how far") if card.desktop_tdp_w is None or card.tdp_w is None else \
                tr("{power:.0f} of {full:.0f} W", power=card.tdp_w, full=card.desktop_tdp_w)
            reasons.append(tr("the power of {card} is capped ({how_far})", card=card.name, how_far=of))
    return reasons


# Several measured cards -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Seconds per sample on any GPU: arithmetic_flops / FLOP/s + memory_bytes / bytes/s + rest_s."""

    arithmetic_flops: float              # per sample, as if run at peak rate; likewise the next
    memory_bytes: float
    rest_s: float

    def samples_per_s(self, card: Card) -> float | None:
        """The fitted throughput of a GPU; None if its specification lacks what the fit needs."""
        if not card.fp32_flops_per_s or not card.bandwidth_bytes_per_s:
            return None
        time_s = (self.arithmetic_flops / card.fp32_flops_per_s + self.memory_bytes / card.bandwidth_bytes_per_s
                  + self.rest_s)
        return 1 / time_s if time_s > 0 else None


def fit(references: Sequence[Reference]) -> Fit:
    """Non-negative least squares of relative errors (Lawson and Hanson 1974); GPUs must have both rates.

    The expected share of each term is added as an equation (Tikhonov regularisation, or a normal prior): two or three
    GPUs do not determine the terms, and with GPUs of one kind the whole step would become the rest, which no GPU makes
    faster.
    """
    from scipy.optimize import nnls

    times_s = np.array([1 / each.samples_per_s for each in references])
    parts = np.array([
        [1 / (each.card.fp32_flops_per_s or math.nan), 1 / (each.card.bandwidth_bytes_per_s or math.nan), 1.0]
        for each in references
    ])
    of_a_middle_card = np.exp(np.mean(np.log(parts), axis=0)) / np.exp(np.mean(np.log(times_s)))
    weight = MODEL_ERROR / SHARE_SPREAD
    lines = np.vstack([parts / times_s[:, None], weight * np.diag(of_a_middle_card)])
    targets = np.concatenate([np.ones_like(times_s), weight * np.array(EXPECTED_SHARES)])
    # Columns are scaled to similar size: FLOP/s and seconds differ by thirteen orders of magnitude.
    sizes = np.linalg.norm(lines, axis=0)
    solution, _ = nnls(lines / sizes, targets)
    arithmetic, memory, rest = (float(part) for part in solution / sizes)
    return Fit(arithmetic_flops=arithmetic, memory_bytes=memory, rest_s=rest)


def left_out_errors(references: Sequence[Reference]) -> list[float]:
    """The relative error of the throughput of each GPU, predicted by a fit to the others."""
    errors = []
    for left_out in references:
        others = [each for each in references if each.card.key != left_out.card.key]
        predicted_rate = fit(others).samples_per_s(left_out.card)
        errors.append(math.inf if predicted_rate is None else abs(predicted_rate / left_out.samples_per_s - 1))
    return errors


def _fitted(references: Sequence[Reference], target: Card, ranged: Prediction) -> Prediction:
    """The prediction by a fit, or ``ranged`` if the fit cannot predict this GPU."""
    value, worst = fit(references).samples_per_s(target), max(left_out_errors(references))
    if value is None:
        return ranged
    count = len({each.card.key for each in references})
    names = ", ".join(sorted({each.card.name for each in references}))
    reasons = [tr("fitted to {n} known GPUs ({names}); predicting each from the others, the largest error is "
                  "{worst:.0%}",
                  n=count, names=names, worst=worst)]
    margin = max(worst, MARGIN)
    low, high = value / (1 + margin), value * (1 + margin)
    waits = any(_may_wait(each, target) for each in references)
    if count < FEWEST_FOR_ITS_RANGE or waits:
        low, high = min(low, ranged.low), max(high, ranged.high)
        why = tr("the host may have been the limit") if waits else tr("two GPUs are few")
        reasons.append(tr("{why}, so the range includes the one predicted from one of them: {reason}", why=why,
                          reason=ranged.reasons[0]))
        reasons += ranged.reasons[1:]
    return Prediction(
        value=value, low=low, high=high, method="fit", reasons=tuple(reasons), error=worst, software=ranged.software
    )


def _ratio(new: float | None, old: float | None) -> float:
    return (new or math.nan) / (old or math.nan)


def _distance(one: Card, other: Card) -> float:
    return abs(math.log(_ratio(one.fp32_flops_per_s, other.fp32_flops_per_s))) + abs(
        math.log(_ratio(one.bandwidth_bytes_per_s, other.bandwidth_bytes_per_s)))


def _named(reference: Reference) -> str:
    return reference.device or reference.card.name
