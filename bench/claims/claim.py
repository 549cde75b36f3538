"""A claim, and whether one or several figures confirm or refute it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rigmark.bench.analysis.statistics.decision import fewest_pairs
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr

NO_INTERVAL = 1.10           # factor by which a published figure, or a share of the time of one trial, may be wrong


class Standing(StrEnum):
    """The outcome of testing a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"                        # there are results, but they do not decide it, or contradict each other
    UNTESTABLE = "not testable here"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published sentence, with the value that it states for a quantity."""

    id: str
    says: str                            # the sentence, shortened
    quantity: str                        # a key of QUANTITIES
    value: float | None                  # as claimed; None if the sentence states no number
    low: float | None                    # values from low to high still confirm the claim; None: no limit on that side
    high: float | None
    how: str                             # how it is tested here
    where: Mapping[str, Any]             # what it is about, by the keys of its quantity
    source: str                          # title of the publication
    note: str = ""
    can_refute: bool = True              # False if our results cannot be as good as those that the sentence is about


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One figure for a claim, with its 95 % interval; ``low`` and ``high`` are None without an interval."""

    about: str
    value: float
    low: float | None = None
    high: float | None = None
    certain: tuple[float, float] | None = None   # the interval of a verdict, which decides, see comparison.compare;
                                                 # None if a measured figure has too few trials for one
    count: int | None = None             # trials
    is_suspect: bool = False             # whether a trial of it may have been disturbed
    origin: Origin = Origin.MEASURED
    doubt: str = ""                      # why it decides nothing; empty if it decides
    remark: str = ""
    standing: Standing = Standing.OPEN   # set by ``judged``


def judged(answer: Answer, claim: Claim) -> Answer:
    """The answer with its standing: its whole interval lies within the claimed range, or outside of it, or neither.

    A measured figure needs as many trials as a verdict. A published one may be wrong by the factor NO_INTERVAL.
    """
    between = answer.certain
    if between is None and answer.origin is Origin.QUOTED:
        between = answer.value / NO_INTERVAL, answer.value * NO_INTERVAL
    if between is None or answer.doubt:
        return replace(answer, standing=Standing.OPEN, doubt=answer.doubt or too_few(answer.count))
    low, high = between
    is_within = (claim.low is None or low >= claim.low) and (claim.high is None or high <= claim.high)
    is_beyond = (claim.low is not None and high < claim.low) or (claim.high is not None and low > claim.high)
    standing = Standing.CONFIRMED if is_within else Standing.REFUTED if is_beyond else Standing.OPEN
    if standing is Standing.REFUTED and not claim.can_refute:
        standing = Standing.OPEN
    return replace(answer, standing=standing)


def too_few(count: int | None) -> str:
    """Why a figure with so few trials decides nothing."""
    if count is None:
        return tr("a figure without an interval")
    return tr("{trials}, but a verdict needs {fewest} or more", trials=formatting.count(count, "trial"),
              fewest=fewest_pairs(1, 1))


def overall(answers: Sequence[Answer], claim: Claim) -> tuple[Standing, str]:
    """The outcome of all answers together, with the reason; the claim is open unless all of them agree."""
    counts = {standing: sum(answer.standing is standing for answer in answers) for standing in Standing}
    figures = formatting.count(len(answers), "figure")
    for standing in (Standing.CONFIRMED, Standing.REFUTED):
        if counts[standing] == len(answers):
            if all(answer.origin is Origin.ENTERED for answer in answers):
                return standing, tr("the figures that it states")
            why = tr("the one figure that there is") if len(answers) == 1 else tr("all {figures}", figures=figures)
            return standing, why + _suspicion(answers)
    counted = [text for standing, text in (
        (Standing.CONFIRMED, formatting.count(counts[Standing.CONFIRMED], "says yes", "say yes")),
        (Standing.REFUTED, formatting.count(counts[Standing.REFUTED], "says no", "say no")),
        (Standing.OPEN, formatting.count(counts[Standing.OPEN], "says neither", "say neither")),
    ) if counts[standing]]
    doubts = list(dict.fromkeys(answer.doubt for answer in answers if answer.doubt))
    why = tr("{figures}: {said}", figures=figures, said=formatting.listed(counted)) + _suspicion(answers)
    if doubts:
        why += tr(" ({doubts})", doubts="; ".join(doubts))
    elif counts[Standing.OPEN] == len(answers) and not claim.can_refute:
        why += tr(", and what was measured cannot refute it")
    return Standing.OPEN, why


def _suspicion(answers: Sequence[Answer]) -> str:
    """A remark if some figures are suspect, else ""."""
    suspect = sum(answer.is_suspect for answer in answers)
    if not suspect:
        return ""
    return tr(", suspect") if suspect == len(answers) else tr(", {n} of them suspect", n=suspect)
