"""Testers of claims about what networks learn, from the one epoch for which a proof trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rigmark.bench.analysis.statistics.decision import FALSE_ALARMS
from rigmark.bench.analysis.statistics.estimate import CONFIDENCE
from rigmark.bench.claims.claim import Answer, Claim
from rigmark.bench.claims.evidence import Evidence, is_asked, names_of
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Outcome, Precision
from rigmark.bench.plan import axes

if TYPE_CHECKING:
    from rigmark.bench.analysis.results.proofs import Proof

SIGMAS = 1.959964            # quantile of the normal distribution for an interval of 95 %
CERTAIN_SIGMAS = 2.575829    # the same for 99 %, which a verdict needs
assert (CONFIDENCE, FALSE_ALARMS) == (0.95, 0.01)


def accuracy(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Share of held-out samples that are classified correctly after the one epoch for which a proof trains."""
    held_out = int(claim.where["held_out"])
    for proof in evidence.proofs:
        if proof.accuracy is not None and proof.outcome == Outcome.OK and is_asked(proof.facts, claim) \
                and proof.facts.get("precision") == Precision.FP32:
            low, high = wilson(proof.accuracy, held_out)
            yield Answer(
                about=_proof(proof), value=proof.accuracy, low=low, high=high, count=1,
                certain=wilson(proof.accuracy, held_out, CERTAIN_SIGMAS),
            )


def precision_accuracy(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Accuracy in a precision minus that in fp32, of the same framework, network and data."""
    wanted, held_out = names_of(claim.where["precision"]), int(claim.where["held_out"])
    yield from _accuracy_differences(
        evidence, held_out, lambda proof: proof.facts["precision"] in wanted and is_asked(proof.facts, claim),
        lambda proof: proof.facts["precision"] == Precision.FP32, axes.but("precision"),
        lambda one, other: tr("{case}, {precision} minus fp32", case=_proof(one), precision=one.facts["precision"]),
    )


def deeper_accuracy(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Accuracy of a deeper network minus that of a shallower one."""
    deeper, shallower = str(claim.where["deeper"]), str(claim.where["shallower"])
    yield from _accuracy_differences(
        evidence, int(claim.where["held_out"]),
        lambda proof: proof.facts["model"] == deeper and proof.facts["precision"] == Precision.FP32,
        lambda proof: proof.facts["model"] == shallower and proof.facts["precision"] == Precision.FP32,
        axes.but("model"),
        lambda one, other: tr("{case}, minus {other}", case=_proof(one), other=shallower),
    )


def _accuracy_differences(
    evidence: Evidence, held_out: int, is_one: Callable[[Proof], bool], is_other: Callable[[Proof], bool],
    same: Sequence[str], about: Callable[[Proof, Proof], str],
) -> Iterator[Answer]:
    learnt = [p for p in evidence.proofs if p.accuracy is not None and p.outcome == Outcome.OK]
    for one in filter(is_one, learnt):
        for other in filter(is_other, learnt):
            if all(one.facts.get(name) == other.facts.get(name) for name in same):
                assert one.accuracy is not None
                assert other.accuracy is not None
                # Both use the same samples, so this interval is wider than necessary, and certain enough for a verdict.
                low, high = newcombe(one.accuracy, other.accuracy, held_out)
                yield Answer(
                    about=about(one, other), value=one.accuracy - other.accuracy, low=low, high=high, count=1,
                    certain=(low, high),
                )


def _proof(proof: Proof) -> str:
    facts = proof.facts
    about = tr("{model} on {data}", model=facts["model"], data=facts["data"])
    return f"{about}, {axes.named(facts, (*axes.CODE, 'compile_mode'))}"


def wilson(share: float, count: int, sigmas: float = SIGMAS) -> tuple[float, float]:
    """Interval of a share of ``count`` samples, 95 % unless stated otherwise (score interval, Wilson 1927)."""
    z2 = sigmas**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = sigmas / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def newcombe(one: float, other: float, count: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares, each of ``count`` samples (Newcombe 1998, method 10).

    Both shares are of the same samples here, so the interval is wider than necessary, never narrower.
    """
    (low_1, high_1), (low_2, high_2) = wilson(one, count), wilson(other, count)
    difference = one - other
    return (difference - math.hypot(one - low_1, high_2 - other), difference + math.hypot(high_1 - one, other - low_2))
