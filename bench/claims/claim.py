"""What is claimed, and what one figure or several say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr

NO_INTERVAL = 1.10           # factor by which a published figure, or a share of one trial's time, may be off
FEW_TRIALS = 1.50            # the same of a time of too few trials for an interval: the machine may have been disturbed


class Standing(StrEnum):
    """What became of a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"                        # results are there, and do not decide, or do not agree
    UNTESTABLE = "not testable here"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that somebody wrote, with what it says of which quantity."""

    id: str
    says: str                            # the sentence, in short
    quantity: str                        # a name in QUANTITIES
    value: float | None                  # as claimed; None where the sentence states no number
    low: float | None                    # between these it would still be called that; None: no limit on that side
    high: float | None
    how: str                             # it is tested here
    where: Mapping[str, Any]             # what it is about, in the words of its quantity
    source: str                          # title of what says so
    note: str = ""
    can_refute: bool = True              # False where the results cannot be as good as what the sentence speaks of


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One figure that bears on a claim. Without an interval ``low`` and ``high`` are None."""

    about: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None             # trials
    origin: Origin = Origin.MEASURED
    doubt: str = ""                      # why it decides nothing; empty where it does
    remark: str = ""
    standing: Standing = Standing.OPEN   # set by ``judged``


def judged(answer: Answer, claim: Claim) -> Answer:
    """The answer with what it says of the claim: its whole interval within what is claimed, or outside, or neither."""
    low, high = answer.low, answer.high
    if low is None or high is None:
        may_be_off = NO_INTERVAL if answer.origin is Origin.QUOTED else FEW_TRIALS
        low, high = answer.value / may_be_off, answer.value * may_be_off
    is_within = (claim.low is None or low >= claim.low) and (claim.high is None or high <= claim.high)
    is_beyond = (claim.low is not None and high < claim.low) or (claim.high is not None and low > claim.high)
    standing = Standing.CONFIRMED if is_within else Standing.REFUTED if is_beyond else Standing.OPEN
    if answer.doubt or (standing is Standing.REFUTED and not claim.can_refute):
        standing = Standing.OPEN
    return replace(answer, standing=standing)


def overall(answers: Sequence[Answer], claim: Claim) -> tuple[Standing, str]:
    """All agree, or the claim is open."""
    counts = {standing: sum(answer.standing is standing for answer in answers) for standing in Standing}
    figures = formatting.count(len(answers), "figure")
    for standing in (Standing.CONFIRMED, Standing.REFUTED):
        if counts[standing] == len(answers):
            if all(answer.origin is Origin.ENTERED for answer in answers):
                return standing, tr("the figures that it states")
            return standing, tr("the one figure that there is") if len(answers) == 1 \
                else tr("all {figures}", figures=figures)
    said = [text for standing, text in (
        (Standing.CONFIRMED, formatting.count(counts[Standing.CONFIRMED], "says yes", "say yes")),
        (Standing.REFUTED, formatting.count(counts[Standing.REFUTED], "says no", "say no")),
        (Standing.OPEN, formatting.count(counts[Standing.OPEN], "says neither", "say neither")),
    ) if counts[standing]]
    doubts = list(dict.fromkeys(answer.doubt for answer in answers if answer.doubt))
    why = tr("{figures}: {said}", figures=figures, said=formatting.listed(said))
    if doubts:
        why += tr(" ({doubts})", doubts="; ".join(doubts))
    elif counts[Standing.OPEN] == len(answers) and not claim.can_refute:
        why += tr(", and what was measured cannot refute it")
    return Standing.OPEN, why
