"""How fast a network would run on a card that was not measured: a range, with its reason, or a refusal.

The range goes from the ratio of arithmetic to that of memory bandwidth, on paper, of the card to one that was measured;
the point is its geometric middle. With several measured cards, a step is the sum of what arithmetic, memory and the
rest take, fitted to them. evidence/predictions.py says how often the truth lies within, on published tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.language import tr
from bench.offers.cards import Card

MARGIN = 0.10                # of either end
WIDE_MARGIN = 0.25           # of what was seldom tried: other makers, other arithmetic, a power cap
CAPPED = 0.8                 # of the desktop card's power, below which a cap counts
FEWEST_BUSY = 0.9            # share of the time at which the measured GPU was at work, below which nothing follows
FEWEST_FOR_FIT = 2
FEWEST_FOR_ITS_RANGE = 3     # from which the error of leaving one out is believed; of two it may be small by luck
MODEL_ERROR = 0.05           # relative, of a step as the sum of three terms: 2 to 5 % on published tables
SHARE_SPREAD = 0.3           # of each term's share of a step around what is expected before any card is known
EXPECTED_SHARES = (0.5, 0.5, 0.0)        # arithmetic, memory, rest: those of which the middle of a range follows
OLD = ("Fermi", "Kepler")
"""Architectures from which and to which nothing is predicted: in TensorFlow's tables of 2017 a P100 is 4.3x to 4.6x as
fast as a K80, where specifications say 2.6x to 3.0x."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A throughput that is known, and the card that it was measured on."""

    card: Card
    samples_per_s: float
    precision: str
    software: str = ""
    busy_ratio: float | None = None      # of the GPU while it was measured; None: not known
    device: str = ""                     # as it is called in sentences


@dataclass(frozen=True, kw_only=True)
class Refusal:
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Samples/s of one device; the truth lies within low and high about as often as evidence/predictions.py says."""

    value: float
    low: float
    high: float
    method: str                          # "range" or "fit"
    reasons: tuple[str, ...]             # a sentence each: from what, and what widens it
    error: float | None                  # of the fit, largest relative one of leaving each measured card out in turn
    software: str                        # of the figures that it rests on, and so of the prediction


def predicted(references: Sequence[Reference], target: Card) -> Prediction | Refusal:
    """Throughput of a card, from figures of one network at one batch and precision."""
    refusals = [(each, reason) for each in references if (reason := refusal(each, target)) is not None]
    refused = {id(each) for each, _ in refusals}
    usable = [each for each in references if id(each) not in refused]
    if not usable:
        return Refusal(reason=refusals[0][1] if refusals else tr(
            "no GPU was measured that it could be predicted from"))
    # Kernels are made for an architecture, so a card of the same one says most.
    alike = [each for each in usable if each.card.architecture == target.architecture] or usable
    alike = [each for each in alike if not _widened(each, target)] or alike
    nearest = min(alike, key=lambda each: (_distance(each.card, target), -each.samples_per_s))
    ranged = from_one(nearest, target)
    # Another framework or version moves a figure as much as another card does; and the terms of a fit know nothing of
    # other makers, other arithmetic and caps.
    alike = [each for each in alike if each.software == nearest.software and not _widened(each, target)]
    if len({each.card.key for each in alike}) < FEWEST_FOR_FIT:
        return ranged
    return _fitted(alike, target, ranged)


def refusal(reference: Reference, target: Card) -> str | None:
    """Why nothing follows from a figure for a card; None where something does."""
    if reference.busy_ratio is not None and reference.busy_ratio < FEWEST_BUSY:
        return tr("{device} was busy for {share:.0%} of the time only: launching or input holds it up, so nothing can "
                  "be predicted, and a faster card will not help much", device=_named(reference),
                  share=reference.busy_ratio)
    for card in (reference.card, target):
        if not card.fp32_flops_per_s and not card.bandwidth_bytes_per_s:
            return tr("FLOP/s and memory bandwidth of {card} are not known", card=card.name)
        if not card.fp32_flops_per_s:
            return tr("FLOP/s of {card} is not known", card=card.name)
        if not card.bandwidth_bytes_per_s:
            return tr("memory bandwidth of {card} is not known", card=card.name)
        if card.architecture.startswith(OLD) and reference.card.key != target.key:
            return tr("{card} is of the {generation} generation, whose specification says too little of how fast "
                      "networks run on it", card=card.name, generation=card.architecture)
    return None


def from_one(reference: Reference, target: Card) -> Prediction:
    """The range from one measured card, which is not refused."""
    old, new = reference.card, target
    compute = _ratio(new.fp32_flops_per_s, old.fp32_flops_per_s)
    memory = _ratio(new.bandwidth_bytes_per_s, old.bandwidth_bytes_per_s)
    ratios = {tr("arithmetic"): compute, tr("memory bandwidth"): memory}
    wide = _widened(reference, target)
    paths = [card.tensor_rate(reference.precision) for card in (old, new)]
    if (paths[0] is None) != (paths[1] is None):
        rates = [path or card.fp32_flops_per_s for path, card in zip(paths, (old, new), strict=True)]
        ratios[tr("arithmetic with tensor cores")] = _ratio(rates[1], rates[0])
    low, high = min(ratios.values()), max(ratios.values())
    margin = WIDE_MARGIN if wide else MARGIN
    said = ", ".join(tr("{ratio:.2f}x in {what}", ratio=value, what=name) for name, value in ratios.items())
    reasons = [tr("{card} has {ratios} of {reference}, widened by {margin:.0%} at either end", card=new.name,
                  ratios=said, reference=_named(reference), margin=margin), *wide]
    if reference.busy_ratio is None and old.key != new.key:
        reasons.append(tr("how busy that GPU was is not known; if it waited, the prediction is too high"))
    return Prediction(
        value=reference.samples_per_s * math.sqrt(low * high), low=reference.samples_per_s * low * (1 - margin),
        high=reference.samples_per_s * high * (1 + margin), method="range", reasons=tuple(reasons), error=None,
        software=reference.software,
    )


def _widened(reference: Reference, target: Card) -> list[str]:
    """Why the range is wider than usual, a sentence each."""
    old, found = reference.card, []
    if old.vendor != target.vendor:
        found.append(tr("the makers differ ({old}, {new})", old=old.vendor, new=target.vendor))
    rates = [card.tensor_rate(reference.precision) for card in (old, target)]
    if (rates[0] is None) != (rates[1] is None):
        found.append(tr("only one of the two computes {precision} in tensor cores", precision=reference.precision))
    for card in (target, old):
        if card.is_capped and (card.desktop_tdp_w is None or (card.tdp_w or 0) < CAPPED * card.desktop_tdp_w):
            of = tr("not known how far") if card.desktop_tdp_w is None or card.tdp_w is None else \
                tr("{power:.0f} of {full:.0f} W", power=card.tdp_w, full=card.desktop_tdp_w)
            found.append(tr("the power of {card} is capped ({how_far})", card=card.name, how_far=of))
    return found


# Several measured cards -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Seconds a sample on any card: arithmetic_flops / FLOP/s + memory_bytes / bytes/s + rest_s."""

    arithmetic_flops: float              # that a sample takes as if at the peak; so of the next
    memory_bytes: float
    rest_s: float

    def samples_per_s(self, card: Card) -> float | None:
        """None where the fit, or the card's specification, has nothing to go by."""
        if not card.fp32_flops_per_s or not card.bandwidth_bytes_per_s:
            return None
        time_s = (self.arithmetic_flops / card.fp32_flops_per_s + self.memory_bytes / card.bandwidth_bytes_per_s
                  + self.rest_s)
        return 1 / time_s if time_s > 0 else None


def fit(references: Sequence[Reference]) -> Fit:
    """Non-negative least squares of relative errors (Lawson and Hanson 1974); cards must have both rates.

    What is expected of each term's share is among the lines (Tikhonov's regularisation, or a normal prior): two or
    three cards leave it open which term is which, and cards of one kind would have all of a step as the rest, which no
    card makes faster.
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
    # Columns of like size: FLOP/s and seconds are thirteen powers of ten apart.
    sizes = np.linalg.norm(lines, axis=0)
    found, _ = nnls(lines / sizes, targets)
    arithmetic, memory, rest = (float(part) for part in found / sizes)
    return Fit(arithmetic_flops=arithmetic, memory_bytes=memory, rest_s=rest)


def left_out_errors(references: Sequence[Reference]) -> list[float]:
    """For each card, the relative error of its throughput as fitted to the others."""
    errors = []
    for left_out in references:
        others = [each for each in references if each.card.key != left_out.card.key]
        found = fit(others).samples_per_s(left_out.card)
        errors.append(math.inf if found is None else abs(found / left_out.samples_per_s - 1))
    return errors


def _fitted(references: Sequence[Reference], target: Card, ranged: Prediction) -> Prediction:
    """By the fit, unless it has nothing to say of the card."""
    value, worst = fit(references).samples_per_s(target), max(left_out_errors(references))
    if value is None:
        return ranged
    count = len({each.card.key for each in references})
    names = ", ".join(sorted({each.card.name for each in references}))
    reasons = [tr("fitted to {n} known cards ({names}); leaving each out in turn, it is off by {worst:.0%} at most",
                  n=count, names=names, worst=worst)]
    margin = max(worst, MARGIN)
    low, high = value / (1 + margin), value * (1 + margin)
    if count < FEWEST_FOR_ITS_RANGE:
        low, high = min(low, ranged.low), max(high, ranged.high)
        reasons.append(tr("two cards are few, so the range takes in that from one of them: {reason}",
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
